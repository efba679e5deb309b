"""How torch's RNNs, LSTMs and GRUs are counted, layer by layer, direction by direction.

Their layers are run a second time, step by step by torch's own cells, to see every h[t-1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .axes import Axes
from .counted import Counted, add_up, arriving, nonzero
from .operations import ELEMENTWISE


class _Cell(NamedTuple):
    gates: int
    states: int
    biases: int  # of a unit: of a GRU's new state, the recurrent product is scaled before it adds
    step: Callable[..., Any]
    elementwise: Mapping[str, int]  # of a unit and timestep


_CELLS: Mapping[str, _Cell] = {
    "RNN_TANH": _Cell(1, 1, 1, torch.rnn_tanh_cell, ELEMENTWISE["rnn"]),
    "RNN_RELU": _Cell(1, 1, 1, torch.rnn_relu_cell, {"compares": 1}),
    "LSTM": _Cell(4, 2, 4, torch.lstm_cell, ELEMENTWISE["lstm"]),
    "GRU": _Cell(3, 1, 4, torch.gru_cell, ELEMENTWISE["gru"]),
}


def uncounted_recurrent(module: Any, args: Any, kwargs: Any) -> bool:
    """Tell whether it is a form that is not counted: packed, projected, with active dropout."""
    x = args[0] if args else kwargs["input"]
    dropout = module.training and module.dropout > 0 and module.num_layers > 1
    return isinstance(x, PackedSequence) or module.proj_size > 0 or dropout


def recurrent(
    module: Any, axes: Axes, args: Any, kwargs: Any, output: tuple[Tensor, Any]
) -> Counted:
    """Count a call of nn.RNN, nn.LSTM or nn.GRU."""
    x: Tensor = args[0] if args else kwargs["input"]
    state = args[1] if len(args) > 1 else kwargs.get("hx")
    x = axes._replace(steps_first=False).batch_first(x if module.batch_first else _swap(x), 2)
    kind = _CELLS[module.mode]
    total: dict[str, Tensor | int] = {}
    ways = 2 if module.bidirectional else 1
    for layer in range(module.num_layers):
        outputs = []
        for way in range(ways):
            parameters = _parameters(module, f"_l{layer}" + "_reverse" * way)
            start = None if state is None else _start(kind, state, layer * ways + way)
            sequence = x.flip(1) if way else x
            h = _unroll(kind, parameters, sequence, start)
            add_up(total, _steps(kind, parameters, sequence, h[:, :-1]))
            outputs.append(h[:, 1:].flip(1) if way else h[:, 1:])
        x = torch.cat(outputs, dim=-1)
    return Counted(len(x), total)


def cell(module: Any, axes: Axes, args: Any, kwargs: Any, output: Any) -> Counted:
    """Count a call of nn.RNNCell, nn.LSTMCell or nn.GRUCell."""
    x: Tensor = args[0] if args else kwargs["input"]
    x = axes.batch_first(x, 1)
    state = args[1] if len(args) > 1 else kwargs.get("hx")
    names = {nn.LSTMCell: "LSTM", nn.GRUCell: "GRU"}
    mode = next((mode for of, mode in names.items() if isinstance(module, of)), None)
    kind = _CELLS[mode or f"RNN_{module.nonlinearity.upper()}"]
    h = state[0] if isinstance(state, tuple) else state
    h = x.new_zeros(len(x), module.hidden_size) if h is None else h
    return Counted(len(x), _steps(kind, _parameters(module, ""), x[:, None], h[:, None]))


def _swap(x: Tensor) -> Tensor:
    return x.transpose(0, 1) if x.ndim > 2 else x


def _parameters(module: Any, suffix: str) -> list[Tensor | None]:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [getattr(module, name + suffix, None) for name in names]


def _start(kind: _Cell, state: Any, index: int) -> Any:
    return tuple(each[index] for each in state) if kind.states > 1 else state[index]


def _unroll(kind: _Cell, parameters: list[Tensor | None], x: Tensor, start: Any) -> Tensor:
    """Return h before the first timestep and after each, (batch, 1 + steps, units)."""
    weight: Any = parameters[1]
    if start is None:
        zeros = x.new_zeros(len(x), weight.shape[1])
        start = (zeros, zeros) if kind.states > 1 else zeros
    states = [start]
    for t in range(x.shape[1]):
        states.append(kind.step(x[:, t], states[-1], *parameters))
    return torch.stack([each[0] if kind.states > 1 else each for each in states], dim=1)


def _steps(
    kind: _Cell, parameters: list[Tensor | None], x: Tensor, before: Tensor
) -> dict[str, Tensor | int]:
    """Count timesteps (batch, steps, inputs) with what comes back in each."""
    below, feedback, bias, _ = parameters
    assert below is not None
    assert feedback is not None
    steps, units = x.shape[1], before.shape[-1]
    return {
        **arriving(x, kind.gates * units),
        "recurrent_macs": nonzero(before, kind.gates * units),
        "updates": kind.states * units * steps,
        "bias_adds": kind.biases * units * steps if bias is not None else 0,
        "dense_macs": below.numel() * steps,
        "recurrent_dense_macs": feedback.numel() * steps,
        **{count: each * units * steps for count, each in kind.elementwise.items()},
    }
