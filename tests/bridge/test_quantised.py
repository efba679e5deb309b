"""The quantised ANN: against a machine of whole numbers, value by value, counts included."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from quadrants import changed, quadrants
from torch import Tensor, nn

from eventsim.errors import EventsimError
from eventsim_bridge.counting.frames import FrameOperations, count_operations, footprint
from eventsim_bridge.data.frames import bin_split
from eventsim_bridge.models import QuantisedNetwork, SpikingNetwork
from eventsim_bridge.models.layers import StructureError
from eventsim_bridge.models.quantised import QuantisedLayer, scale_input
from eventsim_bridge.training.loop import split_validation, train
from eventsim_bridge.training.model_files import load_model, save_model

Whole = NDArray[np.int64]


@st.composite
def networks(draw: st.DrawFn) -> QuantisedNetwork:
    """A small network with what training leaves: scales of activations, silent units too."""
    on_map = st.sampled_from(["MP2", "AP2", "SP2", "2C3", "3C3s2", "2C5s2"])
    parts = draw(st.lists(on_map, max_size=4)) + draw(st.lists(st.just("3FC"), max_size=2))
    size = draw(st.tuples(st.integers(1, 2), st.integers(4, 8), st.integers(4, 8)))
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    try:
        model = QuantisedNetwork("-".join([*parts, "2"]), size, bias=draw(st.booleans()))
    except StructureError:
        assume(False)
    for layer in model.layers:
        if isinstance(layer, QuantisedLayer):
            layer.get_parameter("connection.weight").data[:1] *= -1
            layer.largest.fill_(draw(st.sampled_from([0.5, 3.0, 200.0])))
    model.layers[0].get_buffer("scale").fill_(draw(st.sampled_from([0.0274, 0.6, 1.0])))
    return model.eval()


@given(model=networks(), seed=st.integers(0, 2**32 - 1), most=st.sampled_from([2, 4, 90]))
def test_a_machine_of_whole_numbers_gives_and_takes_the_same(
    model: QuantisedNetwork, seed: int, most: int
) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, most, (2, 4, *model.input_shape))
    frames *= rng.random(frames.shape) < 0.3
    frames[1] *= rng.integers(0, 2)  # a silent sample
    samples = torch.tensor(frames, dtype=torch.float32)
    counted = count_operations(model, samples)
    for sample, found in zip(samples, counted, strict=True):
        expected = by_hand(model, sample)
        assert [asdict(layer) for layer in found.layers] == expected


def by_hand(model: QuantisedNetwork, sample: Tensor) -> list[dict[str, Any]]:
    """Run one sample (steps, ...) on whole numbers; check every value, and count each use of one.

    A value that arrives is q units, a weight w scales: a sum is (sum of q w) units scales + b.
    """
    counts, count = [], Counter(pool_adds=int(sample.sum()))
    x = model.layers[0](sample[:, None])[0]
    q = np.minimum(sample.sum(dim=0).numpy().astype(np.int64), 255)
    unit = float(model.layers[0].get_buffer("scale"))
    np.testing.assert_allclose(q * unit, x[0].numpy(), rtol=1e-6)
    for index, layer in enumerate(list(model.layers)[1:]):
        x = layer(x).detach()
        if isinstance(layer, nn.Flatten):
            q = q.reshape(-1, 1, 1)
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            q, unit = pool_by_hand(layer, q, unit, count)
            np.testing.assert_allclose(q * unit, x[0].numpy(), rtol=1e-5)
        else:
            q, unit = layer_by_hand(layer, q, unit, count, x[0].numpy())
            kind = "Conv2d" if isinstance(layer.connection, nn.Conv2d) else "Dense"
            names = FIELDS[1:]
            counts.append({"name": f"layer {index} ({kind})"} | {n: count[n] for n in names})
            count = Counter()
    return counts


FIELDS = (
    "name", "input_events", "acs", "macs", "bias_adds", "compares", "multiplies", "pool_adds",
    "pool_compares", "dense_macs",
)  # fmt: skip


def pool_by_hand(layer: Any, q: Whole, unit: float, count: Counter[str]) -> tuple[Whole, float]:
    size, maximum = layer.kernel_size, isinstance(layer, nn.MaxPool2d)
    out = np.zeros((len(q), q.shape[1] // size, q.shape[2] // size), np.int64)
    for c, y, x in np.argwhere(q):
        if y // size < out.shape[1] and x // size < out.shape[2]:
            at = (c, y // size, x // size)
            out[at] = max(out[at], q[c, y, x]) if maximum else out[at] + q[c, y, x]
            count["pool_compares" if maximum else "pool_adds"] += 1
    mean = not maximum and layer.divisor_override is None
    return out, unit / size**2 if mean else unit


def layer_by_hand(
    layer: QuantisedLayer, q: Whole, unit: float, count: Counter[str], found: NDArray[Any]
) -> tuple[Whole, float]:
    connection: Any = layer.connection
    weight = connection.weight.detach().numpy()
    weight = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
    scale = np.abs(weight).max() / 127
    w = np.rint(weight / scale).astype(np.int64)
    stride = getattr(connection, "stride", (1, 1))[0]
    size = w.shape[2]
    shape = (len(w), *(-(-n // stride) for n in q.shape[1:]))
    sums = np.zeros(shape, np.int64)
    for place in np.argwhere(q):
        c, y, x = (int(n) for n in place)
        count["input_events"] += 1
        for i in range(shape[1]):
            for j in range(shape[2]):
                dy, dx = y - i * stride + size // 2, x - j * stride + size // 2
                if 0 <= dy < size and 0 <= dx < size:
                    sums[:, i, j] += q[c, y, x] * w[:, c, dy, dx]
                    count["acs" if q[c, y, x] == 1 else "macs"] += len(w)
    count["dense_macs"] += w.size * shape[1] * shape[2]
    count["bias_adds"] += sums.size * (connection.bias is not None)
    values = sums * scale * unit
    if connection.bias is not None:
        values = values + connection.bias.detach().numpy().reshape(-1, 1, 1)
    found = found.reshape(shape)
    if not layer.hidden:
        np.testing.assert_allclose(values, found, rtol=1e-4, atol=1e-4)
        return sums, 1.0
    count["compares"] += sums.size
    count["multiplies"] += sums.size
    out = np.rint(found / layer.scale).astype(np.int64)
    exact = np.clip(values / layer.scale, 0, 255)
    assert (np.abs(out - exact) <= 0.5 + 1e-3).all()
    return out, layer.scale


def test_events_are_added_up_to_255_each() -> None:
    model = QuantisedNetwork("4", (1, 2, 2))
    frames = torch.zeros(1, 3, 1, 2, 2)
    frames[0, :, 0, 0, 0] = torch.tensor([1.0, 0.0, 2.0])
    frames[0, :, 0, 1, 1] = 100
    assert model.layers[0](frames.transpose(0, 1))[0, 0, 0].tolist() == [[3.0, 0.0], [0.0, 255.0]]
    assert model(frames).shape == (1, 1, 4)
    layer = count_operations(model, frames)[0].layers[0]
    assert (layer.pool_adds, layer.input_events, layer.macs, layer.acs) == (303, 2, 8, 0)


def test_an_event_stands_for_what_makes_the_training_frames_mean_square_1(tmp_path: Path) -> None:
    settings, data = changed(model="ann", encoding="counts", epochs=1), quadrants()
    trained = train(data, settings, progress=False)
    indices, _ = split_validation(data.train.labels, settings.validation_share, settings.seed)
    recordings = bin_split(data.train, settings.dt_us, settings.steps, encoding="counts")
    sums = recordings.frames(indices).numpy().astype(np.int64).sum(axis=1)
    save_model(trained, tmp_path / "model.pt", {})
    for model in (trained.model, load_model(tmp_path / "model.pt").model):
        scale = float(model.layers[0].get_buffer("scale"))
        assert scale == pytest.approx(np.mean(sums**2) ** -0.5, rel=1e-6)
        assert scale < 0.95


def test_an_event_stands_for_no_more_than_in_a_binary_frame() -> None:
    model = QuantisedNetwork("4", (1, 2, 2))
    frames = torch.zeros(2, 3, 1, 2, 2)
    for value, expected in ((20, 0.1), (300, 2 / 255), (1, 1.0), (0, 1.0)):
        frames[0, 1, 0] = torch.tensor([[value, 0.0], [value, 0.0]])
        scale_input(model, [frames[:1], frames[1:]])
        assert float(model.layers[0].get_buffer("scale")) == pytest.approx(expected)


def test_it_trains_through_the_rounding_and_follows_the_largest_activation() -> None:
    torch.manual_seed(0)
    model = QuantisedNetwork("8FC-2", (1, 3, 3))
    frames = torch.randint(0, 3, (16, 2, 1, 3, 3)).float()
    model(frames).square().sum().backward()
    assert all(bool((parameter.grad != 0).any()) for parameter in model.parameters())
    layer: Any = model.layers[2]
    sums = nn.functional.linear(frames.sum(dim=1).flatten(1), layer.connection.weight)
    first = float((sums + layer.connection.bias).detach().max())
    assert float(layer.largest) == pytest.approx(first, rel=0.02)  # weights are rounded
    model(2 * frames)
    assert first < float(layer.largest) < 1.2 * first
    kept = float(layer.largest)
    model.eval()(5 * frames)
    assert float(layer.largest) == kept


@pytest.mark.parametrize("structure", ["512FC-10", "MP2-8C3-AP2-16C3s2-32FC-10"])
def test_it_has_the_parameters_of_the_snn(structure: str) -> None:
    shape = (2, 34, 34)
    model, spiking = QuantisedNetwork(structure, shape), SpikingNetwork(structure, shape)
    shapes = [parameter.shape for parameter in model.parameters()]
    assert shapes == [parameter.shape for parameter in spiking.parameters()]
    found = footprint(model)
    assert found.weights == sum(size.numel() for size in shapes)
    assert (found.weight_bits, found.integers) == (8, True)
    if structure == "512FC-10":
        assert found.state == 522


def test_bytes_are_those_of_the_widths() -> None:
    model = QuantisedNetwork("3", (1, 1, 2))
    total = FrameOperations.sum(count_operations(model, torch.ones(2, 1, 1, 1, 2))).total
    assert (total.sops, total.bias_adds, total.weight_bytes_read) == (12, 6, 12 + 24)
    assert (total.state_bytes_read, total.state_bytes_written) == (0, 0)


def test_what_it_cannot_take_is_one_sentence() -> None:
    with pytest.raises(StructureError, match="expected no U in an ANN"):
        QuantisedNetwork("U2-2C3-2", (1, 4, 4))
    model = QuantisedNetwork("2", (1, 4, 4))
    with pytest.raises(EventsimError, match="expected one of \\('last',\\)"):
        count_operations(model, torch.zeros(1, 1, 1, 4, 4), loss="rate")
    with pytest.raises(EventsimError, match="frames have shape"):
        count_operations(model, torch.zeros(1, 1, 1, 4, 5))
    with pytest.raises(EventsimError, match="expected counts of events"):
        count_operations(model, torch.full((1, 1, 1, 4, 4), 0.5))
