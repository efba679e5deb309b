"""The clocked engine's kernels on the CPU; `cuda/` is the twin."""
