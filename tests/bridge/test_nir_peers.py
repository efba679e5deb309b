"""What other frameworks export as NIR runs here, spike for spike as it ran there."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import eventsim as es

pytest.importorskip("nir")
pytest.importorskip("nirtorch")

from nir_peers import CASES, SHAPE, Case

from eventsim.reference import run_reference
from eventsim_bridge.agreement import compare_spikes
from eventsim_bridge.nir import from_nir, to_nir
from eventsim_bridge.nir.rebuilt import Rebuilt

RECORDINGS = 2
STEPS = 40


def _versions(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version(name).split(".")[:3])


# What snntorch's and spikingjelly's exporters need.
if _versions("nir") < (1, 0, 7) or _versions("nirtorch") < (2, 6):
    pytest.skip(
        f"nir {version('nir')} and nirtorch {version('nirtorch')}, expected 1.0.7 and 2.6 or later",
        allow_module_level=True,
    )


@pytest.fixture(scope="module")
def recordings(real_data: Path) -> list[object]:
    files = sorted((real_data / "NMNIST" / "Test").rglob("*.bin"))
    chosen = files[:: len(files) // RECORDINGS][:RECORDINGS]
    return [es.read_recording(path).events for path in chosen]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.build.__name__)
def test_spike_for_spike(case: Case, recordings: list[object], tmp_path: Path) -> None:
    import nir

    exported = case.build()
    nir.write(tmp_path / "net.nir", exported.graph)
    network = from_nir(
        tmp_path / "net.nir", dt_us=5000, as_in=case.library, input_shape=SHAPE  # type: ignore[arg-type]
    ).network  # fmt: skip
    agreement = compare_spikes(exported, network, recordings, steps=STEPS)  # type: ignore[arg-type]
    # On another machine torch may add in another order, and a membrane at the threshold fire there.
    assert agreement.all_origins_within(1e-5)
    assert agreement.differing <= 20
    for layer in agreement.layers:
        assert layer.engine_spikes > 20, f"{layer.name} is silent, which would prove nothing"


MANY: dict[str, Any] = {"reset": "subtract", "comparison": ">=", "spikes": "many"}


@pytest.mark.parametrize(
    ("library", "neuron"),
    [
        ("snntorch", es.LIF(0.9, 1.0)),
        ("snntorch", es.CUBALIF(0.5, 0.8, 1.0)),
        ("norse", es.LIF(0.8, 0.3, input_gain="one-minus-decay")),
        ("norse", es.IF(1.0)),
        ("norse", es.CUBALIF(0.5, 0.8, 0.5, input_gain="one-minus-decay")),
        ("sinabs", es.LIF(0.8, 1.0, **MANY)),
        ("sinabs", es.IF(1.0, lower_bound=-1.0, **MANY)),
        ("spikingjelly", es.LIF(0.75, 1.0, comparison=">=")),
        ("spikingjelly", es.IF(1.0, comparison=">=")),
        ("spikingjelly", es.CUBALIF(0.5, 0.75, 1.0, comparison=">=")),
    ],
    ids=repr,
)
def test_other_libraries_run_what_is_written(library: Any, neuron: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype("f4") + 0.1 for shape in ((20, 128), (10, 20))]
    layers = [es.Dense(weight, neuron=neuron) for weight in weights]
    network = es.Network((2, 8, 8), 1000, [es.Flatten(), *layers])
    to_nir(network, tmp_path / "net.nir", as_in=library)
    frames = (rng.random((40, 2, 8, 8)) < 0.05).astype(np.float32)
    rebuilt = Rebuilt(tmp_path / "net.nir", from_nir(tmp_path / "net.nir"))
    for _ in range(2):  # no state is left
        theirs = rebuilt.layer_spikes(torch.from_numpy(frames)[None])
        for layer, trace in zip(theirs, run_reference(network, frames, np.float32), strict=True):
            assert np.array_equal(layer[0].numpy(), trace.spikes)
    assert 20 < theirs[-1].sum() < 400 * (5 if neuron.spikes == "many" else 1)


def test_what_no_other_library_rebuilds_is_said(tmp_path: Path) -> None:
    weight = np.ones((3, 8), np.float32)
    there = es.Network((8,), 1000, [es.Dense(weight, neuron=es.LIF(0.9, 1.0))])
    path = tmp_path / "net.nir"
    to_nir(there, path, as_in="exact")
    with pytest.raises(es.EventsimError, match="--as-in is exact, expected one of snntorch, norse"):
        Rebuilt(path, from_nir(path))
    other = from_nir(path, dt_us=1000, as_in="snntorch", nir_dt_us=1000)
    with pytest.raises(es.EventsimError, match="--nir-dt-us is 1000, expected 100 to run"):
        Rebuilt(path, other)
    at_least = es.LIF(0.9, 1.0, comparison=">=")
    to_nir(es.Network((8,), 1000, [es.Dense(weight, neuron=at_least)]), path, as_in="spikingjelly")
    with pytest.raises(es.EventsimError, match="spikingjelly's own importer does not take it"):
        Rebuilt(path, from_nir(path, dt_us=1000, as_in="spikingjelly", nir_dt_us=500))
