"""Network files: the exact round trip, and saving that leaves all of a file or nothing."""

from __future__ import annotations

import dataclasses
import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_files import UNSAVED, bits, small
from random_networks import networks, recordings, simulate_recorded

from eventsim.errors import NetworkFileError
from eventsim.events.arrays import MAX_STEPS
from eventsim.network import storage
from eventsim.network.graph import Network
from eventsim.network.layers import Dense
from eventsim.network.neurons import LIF
from eventsim.network.pathways import Flatten
from eventsim.network.storage import is_network_file, load_network, save_network
from eventsim.simulator import simulate


def round_trip(network: Network) -> Network:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.h5"
        save_network(network, path)
        return load_network(path)


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@st.composite
def described_networks(draw: st.DrawFn) -> Network:
    network = draw(networks(dyadic=False))
    outputs = network.outputs
    return dataclasses.replace(
        network,
        dt_us=draw(st.sampled_from([1, 1000, 2**63 - 1])),
        steps=draw(st.sampled_from([None, 1, MAX_STEPS])),
        class_names=draw(st.just([]) | st.lists(names, min_size=outputs, max_size=outputs)),
        provenance=draw(st.dictionaries(st.text(max_size=5), json_values, max_size=3)),
    )


@given(network=described_networks())
@settings(max_examples=150)
def test_round_trip_gives_back_every_bit(network: Network) -> None:
    assert bits(round_trip(network)) == bits(network)


@given(data=st.data())
@settings(max_examples=30)
def test_a_loaded_network_simulates_the_same(data: Any) -> None:
    network = data.draw(networks(dyadic=False))
    events = data.draw(recordings(network))
    before = simulate_recorded(network, events)
    after = simulate(round_trip(network), events, record_spikes=True)
    assert bits(before) == bits(after)


def test_round_trip_keeps_the_least_and_the_strangest_numbers() -> None:
    info = np.finfo(np.float32)
    numbers = np.array([-0.0, 0.0, info.smallest_subnormal, -info.smallest_normal, info.max, 0.1])
    neuron = LIF(decay=1 / 3, threshold=float(info.smallest_subnormal))
    layer = Dense(numbers[None].astype(np.float32), [-0.0], neuron=neuron)
    network = Network((1, 2, 3), 1, [Flatten(), layer], provenance={"a": [-0.0, 5e-324, 2**200]})
    loaded = round_trip(network)
    assert bits(loaded) == bits(network)
    weight = loaded.layers[1].weight  # type: ignore[union-attr]
    assert np.signbit(weight[0, 0])
    assert weight[0, 2] == info.smallest_subnormal


def test_text_of_many_bytes_comes_back() -> None:
    names = ["ナナ" * 5000, "", "é\n"]
    network = small(
        class_names=names, provenance={"ключ/ä": {"\0": "\ud800", "long": "x" * 100_000}}
    )
    assert bits(round_trip(network)) == bits(network)


def test_equal_networks_give_equal_files(tmp_path: Path) -> None:
    save_network(small(), tmp_path / "a.h5")
    save_network(small(), tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_the_file_is_laid_out_as_documented(tmp_path: Path) -> None:
    """Read without eventsim, as another program would."""
    path = tmp_path / "net.h5"
    network = small()
    save_network(network, path)
    with h5py.File(path) as file:
        assert dict(file.attrs.items()).keys() == {
            "format", "version", "input_shape", "dt_us", "input_encoding", "steps",
            "readout",
        }  # fmt: skip
        assert file.attrs["format"].decode() == "eventsim-network"
        assert file.attrs["version"] == 2
        assert file.attrs["input_shape"].tolist() == [1, 4, 4]
        assert file["class_names"].asstr()[:].tolist() == ["a", "b", "µ"]
        assert file["provenance"].asstr()[()] == '{"data": "digits", "accuracy": [0.5, null]}'
        assert list(file["layers"]) == ["0", "1", "2", "3"]
        types = [layer.attrs["type"].decode() for layer in file["layers"].values()]
        assert types == ["Conv2d", "AvgPool2d", "Flatten", "Dense"]
        assert file["layers/0"].attrs["stride"].tolist() == [2, 2]
        assert file["layers/0/neuron"].attrs["reset"] == b"subtract"
        assert "bias" not in file["layers/3"]
        assert file["layers/3/neuron"].attrs["decay"] == 0.3
        np.testing.assert_array_equal(file["layers/3/weight"], network.layers[3].weight)  # type: ignore[union-attr]
        assert file["layers/3/weight"].dtype == np.float32


# --- what is a network file -----------------------------------------------------------------------


def test_is_network_file(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    assert not is_network_file(path)
    assert not is_network_file(tmp_path)
    path.write_bytes(b"")
    assert not is_network_file(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert not is_network_file(path)
    save_network(small(), path)
    assert is_network_file(path)
    assert is_network_file(str(path))
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 7
    assert is_network_file(path), "another version is still a network"


def test_a_file_that_does_not_say_what_it_is_is_told_by_its_layers(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    save_network(small(), path)
    with h5py.File(path, "r+") as file:
        del file.attrs["format"]
    assert is_network_file(path)
    with h5py.File(path, "r+") as file:
        del file["layers"]
        file["layers"] = h5py.SoftLink("/class_names")
    assert not is_network_file(path)
    with h5py.File(path, "w") as file:
        file["events"] = np.zeros(3)
    assert not is_network_file(path)


# --- what cannot be saved -------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "sentence"), UNSAVED.values(), ids=UNSAVED)
def test_what_a_file_cannot_hold_is_refused_and_the_old_file_kept(
    tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(b"old")
    with pytest.raises(NetworkFileError) as refused:
        save_network(small(**fields), path)
    assert str(refused.value) == f"{path}: {sentence}"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["net.h5"]


# --- saving is atomic -----------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path: Path) -> Iterator[Path]:
    """A file that a failed save must leave as it is, alone in its folder."""
    path = tmp_path / "net.h5"
    path.write_bytes(b"old")
    yield path
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["net.h5"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_of_the_system_leaves_the_old_file(
    old_file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: Any) -> None:
        assert len(os.listdir(old_file.parent)) == 2, "nothing was written aside"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(NetworkFileError) as refused:
        save_network(small(), old_file)
    assert str(refused.value) == f"{old_file}: cannot be written, No space left on device"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_the_old_file(
    old_file: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    def interrupt(*_: Any) -> None:
        raise stop

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(stop):
        save_network(small(), old_file)


def test_a_full_disk_leaves_the_old_file(old_file: Path) -> None:
    """The system itself refuses the write half-way: a limit on the size of files."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(NetworkFileError) as refused:
            save_network(small(), old_file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert str(refused.value) == f"{old_file}: cannot be written, File too large"


def test_a_process_killed_while_writing_leaves_the_old_file(old_file: Path) -> None:
    """Nothing may be written under the name itself before all of it is on the disk."""
    script = (
        "import os, signal, sys\n"
        "from eventsim import IF, Dense, Flatten, Network, save_network\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "layers = [Flatten(), Dense([[1.0]], neuron=IF(1.0))]\n"
        "save_network(Network((1, 1, 1), 1000, layers), sys.argv[1])"
    )
    killed = subprocess.run([sys.executable, "-c", script, old_file], check=False)
    assert killed.returncode == -signal.SIGKILL
    aside = [name for name in os.listdir(old_file.parent) if name != "net.h5"]
    assert len(aside) == 1, "a killed process cannot tidy up"
    (old_file.parent / aside[0]).unlink()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkFileError) as refused:
        save_network(small(), tmp_path / "none" / "net.h5")
    expected = f"{tmp_path / 'none' / 'net.h5'}: cannot be written, No such file or directory"
    assert str(refused.value) == expected
    with pytest.raises(NetworkFileError) as refused:
        save_network(small(), tmp_path)
    assert str(refused.value) == f"{tmp_path}: cannot be written, Is a directory"
    assert os.listdir(tmp_path) == []


def test_saving_replaces_a_file_and_keeps_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real.h5").write_bytes(b"old")
    (tmp_path / "link.h5").symlink_to("real.h5")
    save_network(small(), tmp_path / "link.h5")
    assert (tmp_path / "link.h5").is_symlink()
    assert bits(load_network(tmp_path / "real.h5")) == bits(small())
    assert sorted(os.listdir(tmp_path)) == ["link.h5", "real.h5"]
    assert storage.VERSION == 2
