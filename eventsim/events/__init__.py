"""What comes in: event arrays, recordings of every format, and the grid of timesteps."""
