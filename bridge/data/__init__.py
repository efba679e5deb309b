"""Labelled recordings: simulated ones, and any on a grid of timesteps for training."""
