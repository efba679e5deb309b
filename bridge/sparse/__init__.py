"""Training that costs what the spikes do: the exact gradients of `models/`, on the CPU.

The forward pass runs each layer through time, as the engine does. In the backward pass a weight's
gradient gets that of the membrane behind it at each spike that used the weight, and nothing else.
NumPy and Numba, but for `function.py`, where torch's graph begins and ends.
"""
