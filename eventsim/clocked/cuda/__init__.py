"""The clocked engine's kernels on a GPU; `cpu/` is the twin."""
