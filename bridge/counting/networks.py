"""What an RNN or LSTM executes, layer by layer and sample by sample, by the engine's own rules.

In: a `RecurrentNetwork` and frames. Out: `RecurrentOperations`, which stand beside the engine's
`eventsim.Operations`. Forward hooks look at every value that the layers really get, in every
timestep; nothing is estimated from averages. One unit of each count:

input_events   one non-zero value that arrives at the layer from below, in one timestep
acs            one weight of W1 added as it is, as the input is an event: binary, or a count of 1
macs           one weight of W1 multiplied by a count above 1 or by a real number, then added
recurrent_macs one weight of W2 multiplied by a non-zero h[t-1], then added: h is real-valued, so
               these are never ACs, whatever the input of the layer is
updates        one variable of a unit, h or c, brought up to date; read once and written once
bias_adds      one bias added to one sum: four a unit and timestep in an LSTM
sigmoids, tanhs, multiplies, adds
               elementwise work on the units: an RNN's is one tanh, an LSTM's three sigmoids, two
               tanhs, three multiplications and one addition a unit and timestep
pool_adds, pool_compares
               one non-zero value added to a sum, or compared with a maximum, in a pool between the
               layer and the one below

The rules are those of `eventsim.operations`, just as lenient:

- Zeros are skipped, and weights that an input cannot reach, beyond the border of a map, are not
  touched and not counted. The first addition into an empty sum counts like the others.
- W1 x, W2 h and b are added into one sum, which stays in registers or the nearest cache: no
  further additions, no bytes.
- Frames are binary or counts by what the network was made for (`input_encoding`), and are checked.
  Counts are whole, so that a 1 is an event like any other, here as in the engine. What comes from
  a recurrent layer is real-valued even where every tanh of a sample rounds to 1, as no hardware
  can know that before; so are sums and maxima of counts, here.
- Over a binary input pools are changes of address, as in the engine: a maximum is the OR of its
  window, and behind sums and means each 1 of the input is an event that reaches the weights behind
  its windows. (A maximum of sums is none of these: then the pools from the first sum on are work.)
- Over real values pools are work. The constant factor of a mean is folded into the weights behind
  it, here as there.
- Bytes: weights and biases are float32, 4 per SOP and bias add; state is h, and c of an LSTM, also
  float32. What passes between layers has no bytes, like the engine's spikes.

Units are updated in every timestep, the silent ones as well: h and c change without input.

The readout is executed in every timestep for the loss "rate-inspired", for "last" only in the last
one, pools before it included: the model runs it in all of them, but inference would not. Adding
up the readout's outputs is not counted, like the counting of an SNN's output spikes.

dense_macs (W1 or the readout) and recurrent_dense_macs (W2) are what a dense framework executes:
every weight at every output position, the zeros of a convolution's padding included, and for W2 in
every timestep, the zeros before the first one included (torch.nn.RNN multiplies them;
`RecurrentLayer` skips them).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from eventsim.energy import Footprint
from eventsim.errors import EventsimError
from eventsim.events.arrays import INPUT_ENCODINGS, InputEncoding

from ..models.operations import fan_out
from ..models.recurrent import CELLS, RecurrentLayer, RecurrentNetwork
from ..training.losses import LOSSES_OF, Loss
from .counted import arriving
from .operations import ELEMENTWISE, RecurrentLayerOperations, RecurrentOperations

_POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def count_operations(
    model: RecurrentNetwork,
    frames: Tensor,
    *,
    loss: Loss,
    input_encoding: InputEncoding = "binary",
) -> list[RecurrentOperations]:
    """Run the model on samples and return what each of them takes, all timesteps together.

    frames: (batch, steps, polarities, height, width), on the model's device.
    loss: "last" or "rate-inspired", which says how often the readout is needed.
    input_encoding: "binary" or "counts", what the model was made for.

    Raises `EventsimError` for frames of another shape or without timesteps, for values other than
    0 and 1 where the encoding is "binary", and for another loss or encoding.
    """
    _check(model, frames, loss, input_encoding)
    batch, steps = frames.shape[:2]
    countings = []
    arriving: InputEncoding | None = input_encoding
    for name, layer, pools in _weight_layers(model):
        once = loss == "last" and not isinstance(layer, RecurrentLayer)
        countings.append(_LayerCounting(name, layer, pools, batch, arriving, once))
        arriving = None
    with torch.no_grad(), ExitStack() as hooks:
        for counting in countings:
            counting.hook(hooks)
        model(frames)
    return [
        RecurrentOperations(tuple(counting.counts(sample, steps) for counting in countings))
        for sample in range(batch)
    ]


def footprint(model: RecurrentNetwork) -> Footprint:
    """Return the words of all weights and biases, and of all h and c."""
    units: list[int] = []
    with torch.no_grad(), ExitStack() as hooks:
        for layer in model.layers:
            if isinstance(layer, RecurrentLayer):
                hooks.enter_context(
                    layer.register_forward_hook(
                        lambda layer, _, h: units.append(h[0].numel() * CELLS[layer.cell].states)
                    )
                )
        weight = next(model.parameters())
        model(weight.new_zeros(1, 1, *model.input_shape))
    weights = sum(parameter.numel() for parameter in model.parameters())
    return Footprint(weights, sum(units))


def _check(
    model: RecurrentNetwork, frames: Tensor, loss: Loss, input_encoding: InputEncoding
) -> None:
    if loss not in LOSSES_OF["rnn"]:
        raise EventsimError(f"loss is {loss!r}, expected one of {LOSSES_OF['rnn']}")
    if input_encoding not in INPUT_ENCODINGS:
        raise EventsimError(
            f"input_encoding is {input_encoding!r}, expected one of {INPUT_ENCODINGS}"
        )
    shape = tuple(frames.shape)
    if len(shape) != 5 or shape[1] < 1 or shape[2:] != tuple(model.input_shape):
        raise EventsimError(
            f"frames have shape {shape}, expected (batch, steps, *{model.input_shape})"
        )
    other = frames[(frames != 0) & (frames != 1)]
    if input_encoding == "binary" and len(other):
        raise EventsimError(
            f"frames hold {other[0].item()}, expected 0 and 1 with input_encoding 'binary'"
        )


def _weight_layers(model: RecurrentNetwork) -> Iterator[tuple[str, Any, list[Any]]]:
    """Each layer with weights: its name, the layer, and the pools between it and the one below."""
    pools = []
    for index, layer in enumerate(model.layers):
        if isinstance(layer, _POOLS):
            pools.append(layer)
        elif isinstance(layer, RecurrentLayer):
            on_map = "Conv" if isinstance(layer.connection, nn.Conv2d) else ""
            yield f"layer {index} ({on_map}{layer.cell.upper()})", layer, pools
            pools = []
        elif not isinstance(layer, nn.Flatten):
            yield f"layer {index} (Dense)", layer, pools


class _LayerCounting:
    """The hooks of one layer and of the pools before it, and what they see."""

    def __init__(
        self,
        name: str,
        layer: Any,
        pools: list[Any],
        batch: int,
        arriving: InputEncoding | None,
        once: bool,
    ) -> None:
        """Settle what is counted where; `once`: only in the last timestep.

        `arriving`: what the layer gets from below, None for real numbers.
        """
        self.name, self.layer, self.once = name, layer, once
        self.recurrent = isinstance(layer, RecurrentLayer)
        self.connection = layer.connection if self.recurrent else layer
        maxima = len(list(takewhile(_is_max, pools))) if arriving == "binary" else 0
        rest = pools[maxima:]
        binary = arriving == "binary" and not any(map(_is_max, rest))
        folded, worked = (rest, []) if binary else ([], rest)
        self.of_events = binary or (arriving == "counts" and not worked)
        self.inputs = _Tally([*folded, self.connection], batch, once)
        self.pools = [_Tally([pool], batch, once) for pool in worked]
        self.feedback = _Tally([layer.feedback], batch, once) if self.recurrent else None
        self.sums: torch.Size | None = None  # shape of W1 x + W2 h + b, without batch

    def hook(self, hooks: ExitStack) -> None:
        """Hook all that is counted until `hooks` closes."""

        def keep_shape(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.sums = output.shape[1:]

        hooks.enter_context(self.connection.register_forward_hook(keep_shape))
        for tally in (self.inputs, *self.pools, *([self.feedback] if self.feedback else [])):
            hooks.enter_context(tally.chain[0].register_forward_hook(tally))

    def counts(self, sample: int, steps: int) -> RecurrentLayerOperations:
        """Return the counts of a sample of so many timesteps."""
        assert self.sums is not None
        executed = 1 if self.once else steps
        sums, positions = math.prod(self.sums) * executed, math.prod(self.sums[1:]) * executed
        sops, ones = self.inputs.operations(sample), int(self.inputs.counts["acs"][sample])
        acs = ones if self.of_events else 0
        pooled = [(tally.chain[0], tally.operations(sample)) for tally in self.pools]
        updates, dense, elementwise = 0, 0, dict.fromkeys(ELEMENTWISE["rnn"], 0)
        if self.recurrent:
            cell = CELLS[self.layer.cell]
            units = sums // cell.gates
            updates = cell.states * units
            dense = self.layer.feedback.weight.numel() * positions
            for operation, each in ELEMENTWISE[self.layer.cell].items():
                elementwise[operation] = each * units
        return RecurrentLayerOperations(
            self.name,
            input_events=int(self.inputs.counts["input_events"][sample]),
            acs=acs,
            macs=sops - acs,
            recurrent_macs=self.feedback.operations(sample) if self.feedback else 0,
            updates=updates,
            bias_adds=sums if self.connection.bias is not None else 0,
            **elementwise,
            pool_adds=sum(count for pool, count in pooled if not _is_max(pool)),
            pool_compares=sum(count for pool, count in pooled if _is_max(pool)),
            dense_macs=self.connection.weight.numel() * positions,
            recurrent_dense_macs=dense,
        )


class _Tally:
    """A forward hook that counts `arriving` values sample by sample.

    chain: the module that is hooked, and what its outputs go through until the last one does the
    operations: pools, and one module with weights; or only a pool.
    """

    def __init__(self, chain: Sequence[Any], batch: int, once: bool) -> None:
        """Begin at zero; `once`: count only the last timestep."""
        self.chain, self.once, self.batch = chain, once, batch
        self.counts = {c: torch.zeros(batch).long() for c in ("input_events", "acs", "macs")}
        self.reach: Tensor | None = None

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Add what one call sees, for inputs (steps x batch, channels, ...)."""
        x = inputs[0][-self.batch :] if self.once else inputs[0]
        if self.reach is None:
            *pools, last = self.chain
            worked = isinstance(last, _POOLS)
            reached = fan_out(self.chain if worked else pools, None if worked else last, x)
            self.reach = reached.long()
        for count, found in arriving(x, self.reach).items():
            self.counts[count] += found.reshape(-1, self.batch).sum(dim=0).cpu()

    def operations(self, sample: int) -> int:
        """Return what all values that are not 0 have caused in a sample."""
        return int(self.counts["acs"][sample] + self.counts["macs"][sample])


def _is_max(pool: nn.Module) -> bool:
    return isinstance(pool, nn.MaxPool2d)
