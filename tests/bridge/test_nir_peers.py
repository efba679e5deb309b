"""What other frameworks export as NIR runs here, spike for spike as it ran there."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

import eventsim as es

pytest.importorskip("nir")
pytest.importorskip("nirtorch")

from nir_peers import CASES, SHAPE, Case

from eventsim_bridge.agreement import compare_spikes
from eventsim_bridge.nir import from_nir

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
    assert agreement.differing == 0
    for layer in agreement.layers:
        assert layer.engine_spikes > 20, f"{layer.name} is silent, which would prove nothing"
