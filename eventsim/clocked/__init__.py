"""The engine on a grid of timesteps: route, accumulate, fire."""
