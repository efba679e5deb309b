"""lava-dl's netx files: against what was recorded of two of them, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import run_command
from numpy.typing import NDArray

import eventsim as es
from eventsim.reference import run_layer
from eventsim_bridge.netx import currents_as_levels, from_netx, image_levels

SAMPLE = 17  # timesteps of one, after which the recorded networks were reset


@pytest.fixture
def lava(real_data: Path) -> Path:
    if not (real_data / "lava").is_dir():
        pytest.skip(f"no recordings of lava-dl's networks at {real_data / 'lava'}")
    return real_data / "lava"


# What came in, what left, and the layer's number among those with neurons, the input's being 0.
PILOTNET = {"conv-2": ("conv-1", 3), "conv-3": ("conv-2", 4), "conv-4": ("conv-3", 5),
            "fc-0": ("conv-4", 6)}  # fmt: skip


def recorded(lava: Path, name: str) -> NDArray[Any] | None:
    """An array (timesteps, channels, y, x), or (timesteps, channels)."""
    path = lava / "pilotnet" / f"{name}.npy"
    return np.load(path).T if path.exists() else None


@pytest.mark.parametrize("name", PILOTNET)
@pytest.mark.parametrize("engine", ["reference", "clocked"])
def test_pilotnet_layer_by_layer(lava: Path, name: str, engine: str) -> None:
    """Spikes, currents and membranes of 24 timesteps, in which a reset falls: 0 differ."""
    source, number = PILOTNET[name]
    network = from_netx(lava / "pilotnet.net").network
    layer: Any = network.layers[network.neuron_layers[number]]
    arriving, expected = recorded(lava, source), recorded(lava, name)
    assert arriving is not None
    assert expected is not None
    assert expected.any()
    # What left the layer before in a timestep comes in the next one.
    inputs = np.concatenate([np.zeros_like(arriving[:1]), arriving[:-1]])
    if name == "fc-0":
        inputs = inputs.reshape(len(inputs), -1)
    resets = [0, *(t for t in range(1, len(inputs)) if (t - number) % SAMPLE == 0), len(inputs)]
    assert len(resets) > 2
    for begin, end in pairwise(resets):
        spikes, u, v = RUN[engine](layer, inputs[begin:end], expected.shape[1:])
        np.testing.assert_array_equal(spikes, expected[begin:end])
        if (currents := recorded(lava, f"{name}-u")) is not None:
            np.testing.assert_array_equal(u, currents[begin:end])
        if (membranes := recorded(lava, f"{name}-v")) is not None:
            # On the chip the refractory counter stands in the membrane of a neuron that spiked.
            np.testing.assert_array_equal(np.where(spikes > 0, 128, v), membranes[begin:end])


def by_reference(layer: Any, inputs: NDArray[Any], shape: Any) -> tuple[NDArray[Any], ...]:
    trace = run_layer(layer, inputs.astype(np.float64), shape)
    return (
        trace.spikes,
        np.stack([state.second for state in trace.states]),
        np.stack([state.u for state in trace.states]),
    )


def by_engine(layer: Any, inputs: NDArray[Any], shape: Any) -> tuple[NDArray[Any], ...]:
    network = es.Network(inputs.shape[1:], 1, [layer])
    result = es.simulate(
        network, es.from_frames(inputs, 1), record_spikes=True, probe=["membranes", "currents"]
    )
    assert result.spikes is not None
    spikes = np.zeros((len(inputs), *(*shape, 1, 1)[:3]), np.int64)
    spikes[tuple(result.spikes[0].T)] = 1
    (probed,) = result.probes
    return spikes.reshape(-1, *shape), probed["currents"], probed["membranes"]


RUN: dict[str, Callable[..., tuple[NDArray[Any], ...]]] = {
    "reference": by_reference, "clocked": by_engine,
}  # fmt: skip


def test_tinynet_from_its_image(lava: Path) -> None:
    """All of its layers in one run, from the bias currents of the image: 0 spikes differ."""
    network = from_netx(lava / "tiny.net", aligned=True).network
    folder = lava / "tinynet"
    layers = [np.load(folder / f"{name}.npy")[0] for name in ("input", "layer1", "output")]
    currents = np.load(folder / "input_bias.npy").transpose(2, 1, 0)
    level = currents_as_levels(network, currents)
    # The recordings begin with the timestep before the first spikes.
    steps = layers[0].shape[-1] - 1
    frames = es.from_frames(np.repeat(level[None], steps, axis=0), 1000, encoding="counts")
    result = es.simulate(network, frames, record_spikes=True, probe=["currents"], layers=[1])
    assert result.spikes is not None
    for spikes, expected in zip(result.spikes, layers, strict=True):
        found = np.zeros_like(np.moveaxis(expected, -1, 0)[1:])
        found[tuple(spikes.T)] = 1
        assert found.sum() == len(spikes) > 80
        np.testing.assert_array_equal(found, np.moveaxis(expected, -1, 0)[1:])
    (probed,) = result.probes
    current = np.moveaxis(np.load(folder / "current.npy")[0], -1, 0)[1:]
    np.testing.assert_array_equal(probed["currents"], current * 64)
    layer: Any = network.layers[1]
    kernel = np.load(folder / "layer1_kernel.npy").transpose(0, 3, 2, 1)[:, :, ::-1, ::-1]
    np.testing.assert_array_equal(layer.weight, kernel)


# --- files of our own -----------------------------------------------------------------------------


def write(path: Path, layers: list[dict[str, Any]]) -> Path:
    with h5py.File(path, "w") as file:
        for number, layer in enumerate(layers):
            for name, value in layer.items():
                file[f"layer/{number}/{name}"] = value
    return path


NEURON = {
    "neuron/type": b"CUBA", "neuron/iDecay": 1024, "neuron/vDecay": 512, "neuron/vThMant": 80,
    "neuron/refDelay": 1, "neuron/wgtExp": 0,
}  # fmt: skip


def dense(weight: Any, outputs: int, **more: Any) -> dict[str, Any]:
    return {"type": [b"dense"], "shape": [outputs, 1, 1], "weight": weight, **NEURON, **more}


def some_layers() -> list[dict[str, Any]]:
    """Every type that is read, delays, and weights in both shapes."""
    rng = np.random.default_rng(4)
    pairs = {"stride": [1, 2], "padding": [1, 0], "dilation": [1, 1]}
    conv = {
        "type": [b"conv"], "shape": [4, 6, 2], "groups": 2, "delay": np.array([0.0, 2, 0, 1]),
        "weight": rng.integers(-9, 30, (4, 1, 3, 3, 1)), "bias": rng.integers(-9, 9, 4), **pairs,
        **NEURON,
    }  # fmt: skip
    pool = {
        "type": [b"pool"], "shape": [4, 3, 1], "kernelSize": [2, 2], "weight": np.full((1, 1), 64),
        "stride": [2, 2], "padding": [0, 0], "dilation": [1, 1], **NEURON, "neuron/refDelay": 3,
    }  # fmt: skip
    return [
        {"type": [b"input"], "shape": [2, 6, 6]},
        conv,
        pool,
        {"type": [b"flatten"], "shape": [1, 1, 12]},
        dense(rng.integers(-20, 60, (5, 12)), 5, delay=np.array([0, 1, 2, 3, 4])),
        dense(rng.integers(-20, 60, 15), 3, bias=[4]),
    ]


def test_every_type_of_layer(tmp_path: Path) -> None:
    path = write(tmp_path / "some.net", some_layers())
    imported = from_netx(path, dt_us=7, steps=20)
    network = imported.network
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == [
        "Delay", "Conv2d", "Delay", "Conv2d", "Delay", "Flatten", "Dense", "Delay", "Dense",
    ]  # fmt: skip
    delays = [layer.steps for layer in network.layers if isinstance(layer, es.Delay)]
    assert delays == [(1,), (1, 3, 1, 2), (1,), (1, 2, 3, 4, 5)]
    layers: list[Any] = [network.layers[index] for index in network.neuron_layers]
    assert [layer.neuron.refractory for layer in layers] == [0, 2, 0, 0]
    assert (layers[0].stride, layers[0].padding, layers[0].groups) == ((1, 2), (1, 0), 2)
    assert layers[1].weight.shape == (4, 1, 2, 2)
    assert layers[3].weight.shape == (3, 5)
    assert layers[3].bias.tolist() == [4, 4, 4]
    assert (network.dt_us, network.steps, network.readout) == (7, 20, "spike-count")
    rng = np.random.default_rng(1)
    frames = rng.random((20, 2, 6, 6)) < 0.5
    result = es.simulate(network, es.from_frames(frames, 7))
    traces = es.run_reference(network, frames.astype(float))
    for counts, trace in zip(result.operations.layers, traces, strict=True):
        assert counts.output_spikes == trace.spikes.sum() > 5
    aligned = from_netx(path, aligned=True).network
    assert [layer.steps for layer in aligned.layers if isinstance(layer, es.Delay)] == [
        (0, 2, 0, 1), (0, 1, 2, 3, 4),
    ]  # fmt: skip


def test_an_image_becomes_bias_currents(tmp_path: Path) -> None:
    layers = [{"type": [b"input"], "shape": [1, 1, 3], "weight": [40.0], "bias": [36.0], **NEURON},
              {"type": [b"flatten"], "shape": [3, 1, 1]}, dense([[100, 50, 25]], 1)]  # fmt: skip
    network = from_netx(write(tmp_path / "image.net", layers)).network
    assert network.input_encoding == "counts"
    pixels = np.array([[[0.0, 0.26, 1.0]]])
    (levels,) = image_levels(network, pixels)
    # 40 (2 x - 1) + 36, cut off: -4, 16 (16.8), 76; the layer's bias is the least, -4
    assert levels.tolist() == [[0, 20, 80]]
    assert network.layers[0].bias.tolist() == [-4]  # type: ignore[union-attr]
    frames = es.from_frames(np.repeat(levels[None, None], 9, axis=0), 1000, encoding="counts")
    (trace, _) = es.run_reference(network, frames.frames(np.float64))
    u = np.zeros(3, np.int64)
    for t in range(9):
        u = np.sign(u) * (np.abs(u) * (4096 - 512) >> 12) + np.array([-4, 16, 76]) * 64
        assert trace.membranes[t].reshape(-1).tolist() == u.tolist()
        u[u > 80 * 64] = 0
    for bad in (pixels[0], pixels + 0.1):
        with pytest.raises(es.EventsimError, match="expected shape \\(1, 1, 3\\) and 0 to 1"):
            image_levels(network, bad)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"neuron/type": b"SDNN"}, "layer/4: neuron: type is 'SDNN', expected one of LOIHI, CUBA"),
        ({"neuron/gradedSpike": True}, "layer/4: neuron: gradedSpike is 1, expected 0"),
        ({"type": [b"average"]}, "layer/4: type is 'average', expected one of input, dense"),
        ({"type": [b"concat"]}, "layer/4: type is 'concat', expected one of"),
        ({"weight": np.full((5, 12), 0.5)}, "layer/4: weight has dtype float64, expected whole"),
        ({"weight": np.full((5, 12), 300)}, "layer/4: Dense: weight has 300, expected whole"),
        ({"weight": np.ones((5, 7))}, "layer 6 (Dense): weight has shape (5, 7), so 7 inputs"),
        ({"weight": np.ones(7)}, "layer/4: weight has shape (7,), expected rows for 5 neurons"),
        ({"neuron/vThMant": 2**17}, "layer/4: neuron: FixedCUBALIF: threshold is 131072"),
        ({"neuron/refDelay": 0}, "layer/4: neuron: refDelay is 0, expected 1 or more"),
        ({"neuron/iDecay": None}, "layer/4: neuron: iDecay is missing, expected a whole number"),
        (
            {"type": [b"conv"], "weight": np.ones((5, 12))},
            "layer/4: inChannels is missing, expected",
        ),
        (
            {"type": [b"conv"], "weight": np.ones((5, 1, 1, 2, 3))},
            "layer/4: weight has shape (5, 1,",
        ),
        ({"shape": [6, 1, 1]}, "layer/4: weight has shape (5, 12), expected rows for 6"),
        ({"shape": [1, 1, 5]}, "layer/4: shape is (1, 1, 5), but (5,) leaves the layer"),
    ],
    ids=str,
)
def test_what_does_not_run_as_in_lava_is_refused(
    tmp_path: Path, change: Any, sentence: str
) -> None:
    layers = some_layers()
    for name, value in change.items():
        if value is None:
            del layers[4][name]
        else:
            layers[4][name] = value
    path = write(tmp_path / "bad.net", layers)
    with pytest.raises(es.NetworkFileError, match=f"^{re.escape(f'{path}: {sentence}')}"):
        from_netx(path)


def test_slayer_drops_axes_of_one(tmp_path: Path) -> None:
    """As `genModel` of SLAYER-PyTorch writes a network."""
    rng = np.random.default_rng(2)
    conv = {
        "type": [b"conv"], "shape": [3, 4, 4], "inChannels": 1, "outChannels": 3, "kernelSize": 3,
        "stride": 1, "padding": 0, "dilation": 1, "groups": 1, **NEURON,
        "weight": 2 * rng.integers(-9, 30, (3, 3, 3)), "neuron/scaleRho": 0.5,
    }  # fmt: skip
    flat = {"type": [b"flatten"], "shape": [48, 1, 1]}
    layers = [{"type": [b"input"], "shape": [1, 6, 6]}, conv, flat, dense(np.ones((2, 48)), 2)]
    path = write(tmp_path / "old.net", layers)
    with h5py.File(path, "a") as file:
        file["simulation/Ts"], file["simulation/tSample"] = 1.0, 300
    network = from_netx(path).network
    layer: Any = network.layers[network.neuron_layers[0]]
    np.testing.assert_array_equal(layer.weight, np.reshape(conv["weight"], (3, 1, 3, 3)))
    assert (network.dt_us, network.steps, network.shapes[-1]) == (1000, 300, (2,))


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.net").write_text("layers")
    with pytest.raises(es.NetworkFileError, match="cannot be read as HDF5"):
        from_netx(tmp_path / "text.net")
    with pytest.raises(es.NetworkFileError, match="there is no group layer"):
        from_netx(write(tmp_path / "empty.net", []))
    path = write(tmp_path / "flat.net", [dense([[1, 2]], 1)])
    with pytest.raises(es.NetworkFileError, match="there is no input layer"):
        from_netx(path)
    assert from_netx(path, input_shape=(2, 1, 1)).network.input_shape == (2, 1, 1)


# --- from the shell -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "pilotnet"])
def test_convert_and_run(lava: Path, tmp_path: Path, name: str) -> None:
    assert run_command("convert", lava / f"{name}.net", tmp_path / "net.h5") == 0
    network = es.load_network(tmp_path / "net.h5")
    channels, height, width = network.input_shape  # type: ignore[misc]
    image = np.random.default_rng(3).random((height, width, channels))
    np.save(tmp_path / "image.npy", image)
    asked = ("--steps", 12, "--json", tmp_path / "out.json", "--energy", "loihi,45nm-arithmetic")
    assert run_command("run", tmp_path / "net.h5", tmp_path / "image.npy", *asked) == 0
    layers = json.loads((tmp_path / "out.json").read_text())["layers"]
    levels = image_levels(network, np.moveaxis(image, -1, 0))
    frames = np.repeat(levels[None], 12, axis=0)
    result = es.simulate(network, es.from_frames(frames, 1000, encoding="counts"))
    found = [layer["output_spikes"][0] for layer in layers]
    assert found == [layer.output_spikes for layer in result.operations.layers]
    assert sum(found) > 1000
    # Levels of an image are biases: no synaptic operations of its layer, and adds of whole numbers.
    price = {"acs": 23.6, "compares": 81, "idle_updates": 52, "output_spikes": 1.7}
    for number, layer in enumerate(layers):
        counts = {name: layer[name][0] for name in price} | ({"acs": 0} if number == 0 else {})
        energy = sum(price[name] * count for name, count in counts.items())
        assert layer["energy_pj"]["loihi"] == [pytest.approx(energy)]
        adds = counts["acs"] + layer["bias_adds"][0] + counts["compares"]
        arithmetic = 0.1 * adds + 3.1 * layer["decays"][0]
        assert layer["energy_pj"]["45nm-arithmetic"] == [pytest.approx(arithmetic)]


def test_events_and_what_the_shell_refuses(tmp_path: Path) -> None:
    path = write(tmp_path / "some.net", some_layers())
    net = tmp_path / "net.h5"
    assert run_command("convert", path, net, "--steps", 9, "--aligned") == 0
    assert es.load_network(net).steps == 9
    sentence = str(run_command("convert", path, net, "--as-in", "norse"))
    assert "--as-in is norse" in sentence
    assert "expected a .net file" in str(run_command("convert", net, net, "--aligned"))
    texts = str(run_command("convert", tmp_path / "OxfordFc1.txt", net))
    assert f"{tmp_path / 'OxfordFc1.txt'}: SLAYER's text exports have weights without" in texts
    image = write(
        tmp_path / "image.net",
        [{"type": [b"input"], "shape": [3], "weight": 9, **NEURON}, dense([[9, 9, 9]], 1)],
    )
    assert run_command("convert", image, net) == 0
    np.save(tmp_path / "image.npy", np.full((3, 1, 1), 2.0))
    given = ("run", net, tmp_path / "image.npy")
    assert "--steps is missing, expected for how many timesteps" in str(run_command(*given))
    assert "expected shape (3, 1, 1) and 0 to 1" in str(run_command(*given, "--steps", 2))
    (tmp_path / "image.npy").write_text("no image")
    assert "cannot be read as .npy" in str(run_command(*given, "--steps", 2))
