"""Other simulators, one adapter each behind the interface of `peer.py`.

In: an `eventsim.Network` and dense frames. Out: spikes. A new peer is a file here and an entry in
`PEERS`.
"""

from __future__ import annotations

from .norse import Norse
from .peer import Peer
from .sinabs import Sinabs
from .snntorch import SnnTorch
from .spikingjelly import SpikingJelly
from .torch_compiled import TorchCompiled
from .torch_csr import TorchCsr
from .torch_dense import TorchDense

PEERS: tuple[type[Peer], ...] = (
    TorchCsr,
    TorchDense,
    TorchCompiled,
    SnnTorch,
    SpikingJelly,
    Norse,
    Sinabs,
)
