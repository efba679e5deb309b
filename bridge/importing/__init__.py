"""Networks that were built and trained in other libraries, as networks of the engine.

    from eventsim_bridge.importing import from_torch

    network = from_torch(module, (2, 34, 34), dt_us=1000)      # an `eventsim.Network`

`module` is an `nn.Module` with the neurons of snntorch, spikingjelly, norse or sinabs, or of none
of these and a `SpikingNetwork`. `walk.py` walks through it, one file a library says what its
neurons are (`library.py`: what each is asked), `original.py` runs it where it came from.
"""

from .original import Original
from .read import Reading, from_torch, read_torch

__all__ = ["Original", "Reading", "from_torch", "read_torch"]
