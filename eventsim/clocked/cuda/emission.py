"""Spikes that leave a layer on a GPU: bits, at their neurons' places in the row of a timestep."""

from __future__ import annotations

from numba import cuda, uint32

from ...jit import device_part
from .layout import Layer


@device_part
def note_spikes(layout, layer, bits, t, neuron, fired):
    """Set the bits of up to four neurons from `neuron` on; a word may be shared with others."""
    row = uint32(uint32(t + uint32(layout.remembered)) * uint32(layout.words))
    word = uint32(uint32(row + uint32(layer[Layer.bits])) + uint32(neuron >> uint32(5)))
    shift = uint32(neuron & uint32(31))
    cuda.atomic.or_(bits, word, uint32(fired << shift))
    if shift > uint32(28):
        beyond = uint32(fired >> uint32(uint32(32) - shift))
        if beyond != uint32(0):
            cuda.atomic.or_(bits, uint32(word + uint32(1)), beyond)
