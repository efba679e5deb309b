"""The vanilla RNN and the LSTM of a structure, dense or convolutional: what the SNN is set beside.

In: a structure string (`layers.py`). Out: a trainable `RecurrentNetwork` for `training/`.

Every weight layer of the structure but the last becomes a recurrent layer of the same size; the
last one is a readout without memory in every timestep. With x[t] the output of the layer below,

    RNN    h[t] = tanh(W1 x[t] + W2 h[t-1] + b)                            (He et al. 2020)

    LSTM   i, f, g, o = the four parts of W1 x[t] + W2 h[t-1] + b          (Hochreiter and
           c[t] = sigmoid(f) c[t-1] + sigmoid(i) tanh(g)                   Schmidhuber 1997, with
           h[t] = sigmoid(o) tanh(c[t])                                    Gers et al. 2000)

and h and c of 0 before the first timestep. In a convolutional layer both products are convolutions
(Shi et al. 2015, without the peepholes): W1 that of the structure, W2 of the same kernel, with
stride 1 over the layer's own map. One bias a gate: `torch.nn.LSTM` has two, which only add up.

The authors' published code differs in ways that are left out here: its recurrent layers run over
the batch instead of the timesteps where `batch_first` is missing, and its dropout is active in
tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from eventsim.errors import EventsimError

from ..sparse.lists import BinnedBatch
from ..sparse.product import product
from .layers import StructureError, build_modules
from .sequences import LayeredModel, Temporal, check_input_shape, each_step, run_layer

CellName = Literal["rnn", "lstm"]
State = tuple[Tensor, ...]  # the first is h, what the layer gives


class Cell(NamedTuple):
    """One timestep of a recurrent layer."""

    gates: int  # parts of W1 x + W2 h + b, each of the layer's size
    states: int  # tensors that go from timestep to timestep, h among them
    step: Callable[[Tensor, State], State]


def _rnn_step(sums: Tensor, state: State) -> State:
    return (torch.tanh(sums),)


def _lstm_step(sums: Tensor, state: State) -> State:
    i, f, g, o = sums.chunk(4, dim=1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


CELLS: Mapping[CellName, Cell] = {"rnn": Cell(1, 1, _rnn_step), "lstm": Cell(4, 2, _lstm_step)}


class RecurrentLayer(Temporal):
    """W1, W2 and the cell. `connection` (W1, b) and `feedback` (W2) give all gates in a row."""

    def __init__(self, connection: nn.Module, feedback: nn.Module, cell: CellName) -> None:
        """Put weights and cell together, as `LayerType.gated` builds them."""
        super().__init__()
        self.connection = connection
        self.feedback = feedback
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        """Return h of every timestep, (steps, batch, ...), for an input (steps, batch, ...)."""
        return self.through_time(each_step(self.connection, x))

    def through_time(self, below: Tensor) -> Tensor:
        """Return h of every timestep for W1 x + b of every timestep, (steps, batch, ...)."""
        gates, states, step = CELLS[self.cell]
        batch, width, *shape = below.shape[1:]
        state = (below.new_zeros(batch, width // gates, *shape),) * states
        outputs = []
        for t in range(len(below)):
            # Nothing comes back in the first timestep, and nothing is multiplied.
            state = step(below[t] + self.feedback(state[0]) if t else below[t], state)
            outputs.append(state[0])
        return torch.stack(outputs)


class RecurrentNetwork(LayeredModel):
    """A vanilla RNN or LSTM of a structure in the paper's notation.

    structure: as in `layers.py`, such as "512FC-10": 512 recurrent units and a readout of 10.
    input_shape: (polarities, height, width).
    cell: "rnn" or "lstm".
    bias: whether W1 and the readout have one.

    Weights and biases are drawn by torch from its global generator, as its layers do by default:
    uniformly within +-1 / sqrt(fan-in), W1 and W2 each by its own. Raises `StructureError` for a
    structure that cannot be read or does not fit `input_shape`, `EventsimError` for another cell.
    """

    def __init__(
        self,
        structure: str,
        input_shape: tuple[int, int, int],
        *,
        cell: CellName,
        bias: bool = True,
    ) -> None:
        """Build the layers."""
        super().__init__(input_shape)
        if cell not in CELLS:
            raise EventsimError(f"cell is {cell!r}, expected one of {get_args(CellName)}")
        *below, (_, readout) = build_modules(structure, input_shape, bias)
        for kind, module in below:
            if isinstance(module, nn.Upsample):
                raise StructureError(
                    f"structure {structure!r}: expected no U in an RNN or LSTM, whose operations "
                    f"behind it are not counted"
                )
            if kind.has_neurons:
                layer: Any = kind
                connection, feedback = layer.gated(module, CELLS[cell].gates)
                module = RecurrentLayer(connection, feedback, cell)
            self.layers.append(module)
        self.layers.append(readout)

    def forward(self, frames: Tensor | BinnedBatch) -> Tensor:
        """Return what the readout gives in each timestep, shape (batch, steps, outputs).

        `frames`: as for `LayeredModel`, or binned events, with which the first product costs what
        they do. Raises `EventsimError` where that is not covered (`uncovered_input` says why not).
        """
        if not isinstance(frames, BinnedBatch):
            return super().forward(frames)
        check_input_shape(frames, self.input_shape)
        reason = uncovered_input(self.layers)
        if reason is not None:
            raise EventsimError(f"{reason}, which binned events cannot run on (frames run all)")
        first: Any = self.layers[1]
        x: Tensor = first.through_time(
            product(first.connection.weight, first.connection.bias, frames)
        )
        for layer in self.layers[2:]:
            x = run_layer(layer, x)
        return x.transpose(0, 1)


def uncovered_input(layers: Iterable[nn.Module]) -> str | None:
    """Return in words why binned events cannot be multiplied as they are; None: they can."""
    flatten, first, *_ = [*layers, None]
    if not (isinstance(flatten, nn.Flatten) and isinstance(first, RecurrentLayer)):
        return "no fully connected layer with memory comes first"
    weight: Any = first.connection.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return f"layer 1 has weights of {weight.dtype} on {weight.device.type}"
    return None
