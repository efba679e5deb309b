"""Operations of RNN and LSTM against brute force over every value, and against the engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import eventsim as es
from eventsim.errors import EventsimError
from eventsim_bridge.counting import (
    RecurrentLayerOperations,
    RecurrentOperations,
    count_operations,
    footprint,
)
from eventsim_bridge.models import RecurrentNetwork, SpikingNetwork, export_network
from eventsim_bridge.models.layers import StructureError
from eventsim_bridge.models.recurrent import RecurrentLayer
from eventsim_bridge.models.sequences import run_layer

COUNTS = [field.name for field in fields(RecurrentLayerOperations) if field.name != "name"]
POOLS = nn.MaxPool2d | nn.AvgPool2d
DVS_GESTURE = "MP4-64C3-128C3-AP2-128C3-AP2-256FC-11"


@st.composite
def networks(draw: st.DrawFn) -> RecurrentNetwork:
    """A small network in which some units are silent, so that zeros come back as well."""
    on_map = st.sampled_from(["MP2", "AP2", "SP2", "2C3", "3C3s2", "2C5s2"])
    parts = draw(st.lists(on_map, max_size=4)) + draw(st.lists(st.just("3FC"), max_size=2))
    size = draw(st.tuples(st.integers(1, 2), st.integers(4, 9), st.integers(4, 9)))
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    cell: Any = draw(st.sampled_from(["rnn", "lstm"]))
    try:
        model = RecurrentNetwork("-".join([*parts, "2"]), size, cell=cell, bias=draw(st.booleans()))
    except StructureError:
        assume(False)
    with torch.no_grad():
        for layer in model.layers:
            if isinstance(layer, RecurrentLayer):
                gates = 1 if cell == "rnn" else 4
                for parameter in layer.parameters():  # the first unit of each gate
                    parameter[:: len(parameter) // gates] = 0
    return model


@st.composite
def samples(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Tensor, Any]:
    """Frames and their encoding; counts that happen to be 0 and 1 among them."""
    steps, batch = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    encoding = draw(st.sampled_from(["binary", "counts"]))
    most = 2 if encoding == "binary" else draw(st.integers(2, 4))
    frames = rng.integers(0, most, (batch, steps, *shape))
    frames *= rng.random(frames.shape) < rng.random((batch, *[1] * (frames.ndim - 1)))
    frames[0] *= draw(st.integers(0, 1))  # a silent sample
    return torch.tensor(frames, dtype=torch.float32), encoding


@given(data=st.data(), model=networks(), loss=st.sampled_from(["last", "rate-inspired"]))
def test_counts_equal_brute_force(data: st.DataObject, model: RecurrentNetwork, loss: Any) -> None:
    frames, encoding = data.draw(samples(model.input_shape))
    check_counts(model, frames, loss, encoding)


@pytest.mark.parametrize("encoding", ["binary", "counts"])
@pytest.mark.parametrize("pools", ["MP2-MP2", "AP2-SP2", "MP2-AP2", "AP2-MP2", "SP2-MP2-SP2"])
def test_counts_behind_pools_equal_brute_force(pools: str, encoding: Any) -> None:
    """Pools over frames of 0 and 1: addresses in the first three, if the frames are binary."""
    torch.manual_seed(0)
    model = RecurrentNetwork(f"{pools}-2C3-3FC-2", (2, 13, 14), cell="rnn")
    check_counts(model, (torch.rand(2, 3, 2, 13, 14) < 0.4).float(), "rate-inspired", encoding)


def check_counts(model: RecurrentNetwork, frames: Tensor, loss: Any, encoding: Any) -> None:
    counted = count_operations(model, frames, loss=loss, input_encoding=encoding)
    assert len(counted) == len(frames)
    for sample, found in zip(frames, counted, strict=True):
        expected = brute_force(model, sample, loss, encoding)
        assert [[getattr(layer, name) for name in COUNTS] for layer in found.layers] == [
            [layer[name] for name in COUNTS] for layer in expected
        ]


def brute_force(
    model: RecurrentNetwork, sample: Tensor, loss: str, encoding: str
) -> list[Counter[str]]:
    """Count value by value what one sample (steps, ...) takes in each layer with weights."""
    counts = []
    x, arriving, pools, entering = sample[:, None], encoding, [], []
    for layer in model.layers:
        if isinstance(layer, POOLS):
            pools.append(layer)
            entering.append(x)
        elif not isinstance(layer, nn.Flatten):
            h = run_layer(layer, x) if isinstance(layer, RecurrentLayer) else None
            steps = range(len(sample) - 1 if loss == "last" and h is None else 0, len(sample))
            count: Counter[str] = Counter()
            _count_below(count, layer, pools, [*entering, x], arriving, steps)
            _count_inside(count, layer, x, h, steps)
            counts.append(count)
            arriving, pools, entering = "real", [], []
        with torch.no_grad():
            x = run_layer(layer, x)
    return counts


def _count_below(
    count: Counter[str], layer: Any, pools: list[Any], xs: list[Tensor], arriving: str, steps: range
) -> None:
    """The pools and W1: `xs` enters each pool, and then the weights."""
    connection = layer.connection if isinstance(layer, RecurrentLayer) else layer
    maxima = [isinstance(pool, nn.MaxPool2d) for pool in pools]
    addresses = 0
    seen = [x[steps.start :, 0] for x in xs]
    if arriving == "binary":  # maxima first, then no more of them: all are addresses
        while addresses < len(pools) and maxima[addresses]:
            addresses += 1
        if not any(maxima[addresses:]):
            path = [*pools[addresses:], connection]
            _send(count, "acs", "input_events", path, seen[addresses])
            return
    for pool, maximum, x in list(zip(pools, maxima, seen, strict=False))[addresses:]:
        _send(count, "pool_compares" if maximum else "pool_adds", "", [pool], x)
    counts = arriving == "counts" and not pools
    for operation, chosen in (
        ("acs", seen[-1] * (seen[-1] == 1) * counts),
        ("macs", seen[-1] * ((seen[-1] != 1) | (not counts))),
    ):
        _send(count, operation, "input_events", [connection], chosen)


def _count_inside(
    count: Counter[str], layer: Any, x: Tensor, h: Tensor | None, steps: range
) -> None:
    connection = layer if h is None else layer.connection
    sums = connection(x[0].flatten(1) if isinstance(connection, nn.Linear) else x[0])[0]
    biases = connection.bias is not None
    if h is not None:
        _send(count, "recurrent_macs", "", [layer.feedback], h[:-1, 0])
    for t in steps:
        count["dense_macs"] += connection.weight.numel() * sums[0].numel()
        count["bias_adds"] += sums.numel() * biases
        if h is None:
            continue
        count["recurrent_dense_macs"] += layer.feedback.weight.numel() * sums[0].numel()
        lstm = layer.cell == "lstm"
        for _ in range(h[t, 0].numel()):
            count["updates"] += 2 if lstm else 1
            count["tanhs"] += 2 if lstm else 1
            count["sigmoids"] += 3 * lstm
            count["multiplies"] += 3 * lstm
            count["adds"] += lstm


def _send(count: Counter[str], operation: str, event: str, path: list[Any], xs: Tensor) -> None:
    """Send each non-zero value of (steps, ...) alone through modules whose weights are all one."""
    reached: dict[tuple[int, ...], int] = {}
    for _, *place in xs.nonzero().tolist():
        if tuple(place) not in reached:
            alone = torch.zeros_like(xs[:1])
            alone[(0, *place)] = 1.0
            for module in path:
                with torch.no_grad():
                    alone = _ones(module, alone)
            reached[tuple(place)] = int(alone.sum())
        count[operation] += reached[tuple(place)]
        if event:
            count[event] += 1


def _ones(module: Any, x: Tensor) -> Tensor:
    if isinstance(module, POOLS):
        return nn.functional.avg_pool2d(x, module.kernel_size, module.stride, divisor_override=1)
    weight = torch.ones_like(module.weight)
    if isinstance(module, nn.Linear):
        return nn.functional.linear(x.flatten(1), weight)
    return nn.functional.conv2d(x, weight, None, module.stride, module.padding)


@pytest.mark.parametrize("structure", ["MP2-4C3-5", "AP2-4C3s2-5", "MP2-SP2-6FC-5", "4C5-AP2-5"])
@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("lstm", 4)])
def test_the_first_layer_is_counted_as_that_of_an_snn(
    structure: str, cell: Any, gates: int
) -> None:
    """Binary events reach the same weights, once for each gate."""
    shape, steps = (2, 9, 10), 6
    network = export_network(SpikingNetwork(structure, shape), dt_us=1000)
    model = RecurrentNetwork(structure, shape, cell=cell)
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (1, steps, *shape)))
    t, polarity, y, x = frames[0].nonzero().T.numpy()
    result = es.simulate(network, es.make_events(t * 1000, x, y, polarity), steps=steps)
    snn = result.operations.layers[0]
    first = count_operations(model, frames.float(), loss="last")[0].layers[0]
    assert first.input_events == snn.input_events > 0
    assert (first.acs, first.macs) == (gates * snn.acs, 0)
    assert first.dense_macs == gates * snn.dense_macs


class Elements(TorchDispatchMode):
    """Counts the elements that elementwise functions give while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        if isinstance(output, Tensor):
            self.count[function.overloadpacket.__name__] += output.numel()
        return output


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize("structure", ["5FC-3", "2C3-AP2-3"])
def test_elementwise_work_is_what_torch_executes(structure: str, cell: Any) -> None:
    model = RecurrentNetwork(structure, (2, 6, 7), cell=cell)
    steps = 5
    frames = torch.ones(1, steps, 2, 6, 7)
    with Elements() as executed, torch.no_grad():
        model(frames)
    (counted,) = count_operations(model, frames, loss="rate-inspired")
    total = counted.total
    assert (total.sigmoids, total.tanhs) == (executed.count["sigmoid"], executed.count["tanh"])
    assert total.multiplies == executed.count["mul"]
    # torch adds W1 x and W2 h, of all gates, where one sum goes on
    assert total.bias_adds - counted.layers[-1].bias_adds == counted.layers[0].bias_adds
    sums = counted.layers[0].bias_adds * (steps - 1) // steps
    assert total.adds == executed.count["add"] - sums


@pytest.mark.parametrize(
    ("structure", "shape", "cell", "convolutions", "total"),
    [
        ("512FC-512FC-10", (2, 34, 34), "rnn", 0, 1_975_296),
        ("512FC-512FC-10", (2, 34, 34), "lstm", 0, 7_885_824),
        (DVS_GESTURE, (2, 128, 128), "rnn", 340_918_272, 343_083_776),
        (DVS_GESTURE, (2, 128, 128), "lstm", 1_363_673_088, 1_372_326_656),
    ],
)
def test_dense_macs_of_the_papers_networks(
    structure: str, shape: tuple[int, int, int], cell: Any, convolutions: int, total: int
) -> None:
    """A timestep of RNN and LSTM; their SNN counterparts are in the next test."""
    model = RecurrentNetwork(structure, shape, cell=cell)
    for loss, steps in (("rate-inspired", 2), ("last", 1)):
        frames = torch.zeros(1, steps, *shape)
        (counted,) = count_operations(model, frames, loss=loss)  # type: ignore[arg-type]
        dense = [layer.dense_macs + layer.recurrent_dense_macs for layer in counted.layers]
        on_maps = [n for n, layer in zip(dense, counted.layers, strict=True) if "C" in layer.name]
        assert sum(dense) == total * steps
        assert sum(on_maps) == convolutions * steps


@pytest.mark.parametrize(
    ("structure", "shape", "total"),
    [("512FC-10", (2, 34, 34), 1_188_864), (DVS_GESTURE, (2, 128, 128), 116_525_824)],
)
def test_dense_macs_of_the_papers_spiking_networks(
    structure: str, shape: tuple[int, int, int], total: int
) -> None:
    network = export_network(SpikingNetwork(structure, shape), dt_us=1000)
    assert sum(network.dense_macs(index) for index in network.neuron_layers) == total


def test_saturated_units_are_no_binary_input() -> None:
    """tanh gives exactly 1 in float32, but no hardware could know before."""
    model = RecurrentNetwork("3FC-2FC-2", (1, 1, 2), cell="rnn")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(20.0)
    frames = torch.ones(1, 2, 1, 1, 2)
    assert torch.equal(model.layers[1](frames.reshape(2, 1, 2)), torch.ones(2, 1, 3))
    (counted,) = count_operations(model, frames, loss="rate-inspired")
    assert [(layer.acs, layer.macs, layer.recurrent_macs) for layer in counted.layers] == [
        (2 * 2 * 3, 0, 3 * 3), (0, 2 * 3 * 2, 2 * 2), (0, 2 * 2 * 2, 0),
    ]  # fmt: skip


def test_names_sums_and_derived_counts() -> None:
    model = RecurrentNetwork("MP2-2C3-AP2-3FC-2", (2, 8, 8), cell="lstm")
    frames = (torch.rand(2, 3, 2, 8, 8) > 0.5).float()
    both = count_operations(model, frames, loss="last")
    layers = RecurrentOperations.sum(both).layers
    assert [layer.name for layer in layers] == [
        "layer 1 (ConvLSTM)", "layer 4 (LSTM)", "layer 5 (Dense)",
    ]  # fmt: skip
    total = RecurrentOperations.sum(both).total
    for name in COUNTS:
        assert getattr(total, name) == sum(getattr(one.total, name) for one in both)
    assert total.sops == total.acs + total.macs + total.recurrent_macs
    assert total.weight_bytes_read == 4 * (total.sops + total.bias_adds)
    # h and c of 2 x 4 x 4 and of 3 units, three timesteps, two samples
    assert total.state_bytes_read == total.state_bytes_written == 4 * 2 * (32 + 3) * 3 * 2
    assert total.as_dict() == {
        "name": "total",
        **{name: getattr(total, name) for name in COUNTS},
        "sops": total.sops,
        "weight_bytes_read": total.weight_bytes_read,
        "state_bytes_read": total.state_bytes_read,
        "state_bytes_written": total.state_bytes_written,
    }


def test_hooks_do_not_stay() -> None:
    model = RecurrentNetwork("MP2-2C3-AP2-3FC-2", (2, 8, 8), cell="rnn")
    count_operations(model, torch.zeros(1, 1, 2, 8, 8), loss="last")
    footprint(model)
    assert [len(module._forward_hooks) for module in model.modules()] == [0] * 12


@pytest.mark.parametrize(("cell", "gates", "states"), [("rnn", 1, 1), ("lstm", 4, 2)])
def test_footprint(cell: Any, gates: int, states: int) -> None:
    model = RecurrentNetwork("MP2-2C3-AP2-3FC-2", (2, 8, 8), cell=cell)
    weights = gates * (2 * 2 * 9 + 2 + 2 * 2 * 9 + 3 * 8 + 3 + 3 * 3) + 3 * 2 + 2
    found = footprint(model)
    assert (found.weights, found.state) == (weights, states * (32 + 3))


@pytest.mark.parametrize(
    ("frames", "options", "expected"),
    [
        (torch.zeros(1, 2, 2, 8, 8), {}, r"shape \(1, 2, 2, 8, 8\), expected \(batch, steps, \*"),
        (torch.zeros(1, 0, 2, 4, 4), {}, "frames have shape"),
        (torch.zeros(2, 2, 4, 4), {}, "frames have shape"),
        (torch.full((1, 2, 2, 4, 4), 2.0), {}, "frames hold 2.0, expected 0 and 1"),
        (torch.full((1, 2, 2, 4, 4), torch.nan), {}, "frames hold nan"),
        (torch.zeros(1, 2, 2, 4, 4), {"loss": "rate"}, "loss is 'rate'"),
        (torch.zeros(1, 2, 2, 4, 4), {"input_encoding": "graded"}, "input_encoding is 'graded'"),
    ],
)
def test_what_cannot_be_counted(frames: Tensor, options: dict[str, Any], expected: str) -> None:
    model = RecurrentNetwork("3FC-2", (2, 4, 4), cell="rnn")
    with pytest.raises(EventsimError, match=expected):
        count_operations(model, frames, **{"loss": "last", **options})
