"""torch with the frames of a fully connected first layer as a sparse matrix (CSR).

Of all peers the strongest on a fully connected network, so it stands first among them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from eventsim import EventsimError, Network

from .peer import run_layers
from .torch_dense import TorchDense


class TorchCsr(TorchDense):
    """As `TorchDense`, but the first product skips the zeros of the input."""

    name = "torch CSR"
    given = "ready CSR frames"

    def build(self, network: Network) -> None:
        """Take over weights and neurons; the first layer's weights as (inputs, outputs)."""
        super().build(network)
        kinds = [type(module) for module, _ in self.layers[:2]]
        if kinds != [nn.Flatten, nn.Linear]:
            raise EventsimError("its first layer is no Dense, expected one for a sparse product")
        linear: Any = self.layers[1][0]
        self.weight = linear.weight.detach().T.contiguous()
        self.bias = 0.0 if linear.bias is None else linear.bias.detach()

    def ready(self, frames: Tensor) -> tuple[Tensor, torch.Size]:
        """Return the frames as a CSR matrix (steps * batch, inputs), and (steps, batch)."""
        flat = super().ready(frames).flatten(2)
        return to_csr(flat.flatten(0, 1)), flat.shape[:2]

    def spikes(self, ready: tuple[Tensor, torch.Size]) -> Iterator[Tensor]:
        """Give the spikes of each layer, (steps, batch, outputs)."""
        matrix, shape = ready
        currents = torch.sparse.mm(matrix, self.weight).add_(self.bias)
        neurons = self.layers[1][1]
        assert neurons is not None
        first = neurons(currents.reshape(*shape, -1))
        yield first
        yield from run_layers(self.layers[2:], first)


def to_csr(matrix: Tensor) -> Tensor:
    """Return a dense matrix in compressed sparse rows."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR")  # "in beta state"
        return matrix.to_sparse_csr()
