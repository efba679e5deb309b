"""Recordings on a grid: whole ones and their windows, the cache of binned ones, and the workers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_files import write_nmnist

from eventsim.errors import RecordingError
from eventsim.events.arrays import Sensor, make_events
from eventsim.events.binning import bin_events
from eventsim_bridge.data import frames, workers
from eventsim_bridge.data.frames import GridSettings, Recordings, bin_split, binned_key
from eventsim_bridge.data.workers import in_order
from eventsim_bridge.datasets import Split, open_dataset

SHAPE = (2, 6, 8)
RECORDS = [(3, 33, 1, 10), (0, 7, 0, 70_000)]


def split_of(recordings: list[Any]) -> Split:
    names = tuple(f"noise/{index}" for index in range(len(recordings)))
    return Split(names, np.arange(len(recordings)) % 4, Sensor(8, 6), recordings.__getitem__)


def full_split(count: int) -> Split:
    """Recordings of about 6 ms without gaps."""
    rng = np.random.default_rng(7)
    times = [np.sort(rng.integers(0, 6000, 50)) for _ in range(count)]
    return split_of([make_events(t, t % 8, t % 6, t % 2) for t in times])


def ragged_split(seed: int) -> Split:
    """Recordings of 0 to 20 ms with gaps, of which one holds no events."""
    rng = np.random.default_rng(seed)
    recordings = []
    for index in range(5):
        n = 0 if index == 3 else int(rng.integers(1, 60))
        t = np.sort(rng.integers(0, rng.integers(1, 20_000), n)) + 777
        recordings.append(
            make_events(t, rng.integers(0, 8, n), rng.integers(0, 6, n), rng.integers(0, 2, n))
        )
    return split_of(recordings)


def arrays(recordings: Recordings) -> dict[str, Any]:
    return {name: getattr(recordings, name) for name in Recordings.__dataclass_fields__}


def assert_same(one: Recordings, two: Recordings) -> None:
    assert one.cells.dtype == two.cells.dtype
    for name, value in arrays(one).items():
        np.testing.assert_array_equal(value, arrays(two)[name], strict=True, err_msg=name)
    assert one.digest() == two.digest()


# Windows of whole recordings


@given(
    seed=st.integers(0, 99),
    encoding=st.sampled_from(["binary", "counts"]),
    dt_us=st.sampled_from([300, 1000, 7000]),
    steps=st.integers(1, 9),
    starts=st.lists(st.integers(0, 25), min_size=5, max_size=5),
)
def test_a_window_of_a_whole_recording_is_what_the_engine_bins_there(
    seed: int, encoding: Any, dt_us: int, steps: int, starts: list[int]
) -> None:
    split = ragged_split(seed)
    whole = bin_split(split, dt_us, steps, encoding=encoding, whole=True)
    expected = []
    for events, start in zip([events for events, _ in split], starts, strict=True):
        first = int(events["t"][0]) if len(events) else 0
        binned = bin_events(
            events, SHAPE, dt_us, steps, encoding=encoding, start_us=first + start * dt_us
        )
        expected.append(binned.frames())
    found = whole.frames(np.arange(5), np.array(starts))
    np.testing.assert_array_equal(found.numpy(), expected)
    assert whole.events == sum(len(events) for events, _ in split)
    assert whole.events_late == 0


def test_without_starts_a_whole_recording_begins_with_its_first_event() -> None:
    split = full_split(7)
    whole = bin_split(split, 1000, 3, whole=True)
    short = bin_split(split, 1000, 3)
    order = np.array([5, 0, 5])
    np.testing.assert_array_equal(whole.frames(order), short.frames(order))
    assert short.events_late > 0
    assert (short.lengths == 3).all()
    lengths = [(events["t"][-1] - events["t"][0]) // 1000 + 1 for events, _ in split]
    assert whole.lengths.tolist() == lengths
    assert len({whole.digest(), short.digest(), bin_split(split, 1000, 4).digest()}) == 3
    assert bin_split(split, 1000, 4, whole=True).digest() != whole.digest()


@pytest.mark.parametrize("whole", [False, True])
def test_the_digest_tells_the_same_cells_at_other_times_apart(whole: bool) -> None:
    digests = set()
    for second in (1500, 2500):
        split = split_of([make_events([0, second, 4000], [1, 2, 3], [1, 2, 3], [0, 1, 0])])
        digests.add(bin_split(split, 1000, 5, whole=whole).digest())
    assert len(digests) == 2


def test_random_starts_are_uniform_over_the_windows_within_a_recording() -> None:
    lengths = [9, 4, 2, 6]  # and windows of 4: 6, 1, 1 and 3 of them
    recordings = [make_events([0, 1000 * n - 1], [0, 0], [0, 0], [1, 1]) for n in lengths]
    whole = bin_split(split_of(recordings), 1000, 4, whole=True)
    indices = np.tile([3, 0, 1, 2, 0], 2000)
    starts = whole.random_starts(indices, np.random.default_rng(5))
    np.testing.assert_array_equal(
        starts, whole.random_starts(indices, np.random.default_rng(5)), strict=True
    )
    for index, windows in ((0, 6), (1, 1), (2, 1), (3, 3)):
        found = np.bincount(starts[indices == index])
        assert len(found) == windows
        expected = (indices == index).sum() / windows
        assert (abs(found - expected) < 5 * expected**0.5).all()
    fixed = bin_split(split_of(recordings), 1000, 4)
    assert not fixed.random_starts(indices, np.random.default_rng(5)).any()


@pytest.mark.parametrize("starts", [[-1, 0], [0, 0, 0]])
def test_starts_that_no_window_has(starts: list[int]) -> None:
    whole = bin_split(full_split(4), 1000, 3, whole=True)
    with pytest.raises(ValueError, match="expected 2 numbers from 0 on"):
        whole.frames(np.array([0, 1]), np.array(starts))


# The cache


@pytest.fixture
def cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("EVENTSIM_CACHE", str(folder))
    return folder


def refuse(*_: object) -> None:
    raise AssertionError("the recordings were binned again")


def cached_split() -> Split:
    return replace(ragged_split(1), identity=lambda: "the ragged split")


BINNINGS: dict[str, dict[str, Any]] = {
    "usual": {},
    "dt": {"dt_us": 2000},
    "steps": {"steps": 7},
    "counts": {"encoding": "counts"},
    "one polarity": {"sensor": Sensor(8, 6, 1)},
    "whole": {"whole": True},
    "whole counts": {"whole": True, "encoding": "counts"},
}


def binned(split: Split, **changes: Any) -> Recordings:
    sensor = changes.pop("sensor", split.sensor)
    return bin_split(replace(split, sensor=sensor), **{"dt_us": 1000, "steps": 6, **changes})


def test_what_was_binned_is_read_from_the_cache(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = cached_split()
    made = {name: binned(split, **changes) for name, changes in BINNINGS.items()}
    assert len(list(cache_folder.iterdir())) == len(BINNINGS)  # each its own, nothing aside
    uncached = ragged_split(1)
    for name, changes in BINNINGS.items():
        assert_same(made[name], binned(uncached, **changes))
    monkeypatch.setattr(frames, "_bin_all", refuse)
    for name, changes in BINNINGS.items():
        assert_same(made[name], binned(split, **changes))
    with pytest.raises(AssertionError, match="binned again"):
        binned(replace(split, identity=lambda: "the ragged split, changed"))


def test_every_setting_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = GridSettings(SHAPE, 1000, 6, "binary")
    changes: dict[str, Any] = {
        "input_shape": (2, 8, 6),
        "dt_us": 1001,
        "steps": None,
        "encoding": "counts",
    }
    assert changes.keys() == GridSettings.__dataclass_fields__.keys()
    keys = {binned_key("split", replace(grid, **{name: to})) for name, to in changes.items()}
    keys |= {binned_key("split", grid), binned_key("other", grid)}
    monkeypatch.setattr(frames, "BINNED_VERSION", frames.BINNED_VERSION + 1)
    keys.add(binned_key("split", grid))
    assert len(keys) == len(changes) + 3


def test_windows_of_any_length_share_the_whole_recordings(cache_folder: Path) -> None:
    split = cached_split()
    binned(split, whole=True, steps=3)
    binned(split, whole=True, steps=5)
    assert len(list(cache_folder.iterdir())) == 1


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


FILE_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "flipped": flipped,
    "empty": lambda data: b"",
    "not a zip": lambda data: b"binned",
}


@pytest.mark.parametrize("damage", FILE_DAMAGE)
def test_a_damaged_file_is_made_again(
    cache_folder: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = cached_split()
    first = binned(split, encoding="counts")
    (path,) = cache_folder.iterdir()
    path.write_bytes(FILE_DAMAGE[damage](path.read_bytes()))
    assert_same(binned(split, encoding="counts"), first)
    monkeypatch.setattr(frames, "_bin_all", refuse)
    binned(split, encoding="counts")  # the damaged file has been replaced


def changed(name: str, change: Callable[[Any], Any], found: dict[str, Any]) -> dict[str, Any]:
    return {**found, name: change(found[name])}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bounds", lambda bounds: bounds[:-1]),
        ("bounds", lambda bounds: bounds + 1),
        ("bounds", lambda bounds: bounds.astype(np.int32)),
        ("bounds", lambda bounds: bounds + np.eye(6, dtype=np.int64)[1]),
        ("pointers", lambda pointers: pointers[:-1]),
        ("pointers", lambda pointers: pointers + 1),
        ("pointers", lambda pointers: pointers - np.arange(len(pointers)) % 2),
        ("cells", lambda cells: cells[:-1]),
        ("cells", lambda cells: cells + 96),
        ("cells", lambda cells: cells.astype(np.int16)),
        ("values", lambda values: values[:-1]),
        ("values", lambda values: values.astype(np.float64)),
        ("totals", lambda totals: totals[:1]),
    ],
)
def test_a_sound_file_of_something_else_is_made_again(
    cache_folder: Path, name: str, change: Callable[[Any], Any]
) -> None:
    split = cached_split()
    first = binned(split, encoding="counts")
    (path,) = cache_folder.iterdir()
    with np.load(path) as file:
        np.savez(path, **changed(name, change, dict(file)))
    assert_same(binned(split, encoding="counts"), first)


def test_a_sound_file_of_another_key_is_made_again(cache_folder: Path) -> None:
    split = cached_split()
    first = binned(split, encoding="counts")
    (path,) = cache_folder.iterdir()
    with np.load(path) as file:
        np.savez(path, **{**file, "key": np.array("another"), "values": file["values"] + 1})
    assert_same(binned(split, encoding="counts"), first)


def test_a_folder_that_cannot_be_written_is_one_warning(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder.write_text("in the way")
    split = cached_split()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        assert_same(binned(split), binned(ragged_split(1)))
        binned(split, dt_us=2000)
    (warning,) = caught
    assert str(warning.message).startswith(f"{cache_folder}: binned could not be cached")


# Whether recordings are still those that were binned


def test_the_identity_of_files_is_their_names_sizes_and_times(tmp_path: Path) -> None:
    def identity(root: Path) -> str:
        return open_dataset("nmnist", root).train.identity()

    write_nmnist(tmp_path / "one/Train/4/00002.bin", RECORDS)
    first = identity(tmp_path / "one")
    assert identity(tmp_path / "one") == first
    assert open_dataset("nmnist", tmp_path / "one").test.identity() != first
    (tmp_path / "one").rename(tmp_path / "two")
    assert identity(tmp_path / "two") == first
    path = tmp_path / "two/Train/4/00002.bin"
    found = {first}
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    found.add(identity(tmp_path / "two"))
    path.write_bytes(path.read_bytes() + bytes(5))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    found.add(identity(tmp_path / "two"))
    path.rename(path.with_name("00003.bin"))
    found.add(identity(tmp_path / "two"))
    write_nmnist(tmp_path / "two/Train/5/00004.bin", RECORDS)
    found.add(identity(tmp_path / "two"))
    assert len(found) == 5


def test_the_parts_of_a_simulated_set_have_identities_of_their_own() -> None:
    digits = open_dataset("digits")
    again = open_dataset("digits")
    assert digits.train.identity() == again.train.identity() != digits.test.identity()


# Workers


def square(offset: int, index: int) -> int:
    if offset + index == 13:
        raise RecordingError("thirteen is damaged")
    return (offset + index) ** 2


@pytest.mark.parametrize("count", [0, 1, 5, 100])
@pytest.mark.parametrize("number", [1, 2, 3, None])
def test_results_come_in_order(count: int, number: int | None) -> None:
    found = list(in_order(square, (14,), count, number))
    assert found == [(14 + index) ** 2 for index in range(count)]


@pytest.mark.parametrize("number", [1, 2])
def test_the_first_damage_is_raised_as_it_was(number: int) -> None:
    with pytest.raises(RecordingError, match=r"\Athirteen is damaged\Z"):
        list(in_order(square, (3,), 50, number))


def process(index: int) -> int:
    return os.getpid()


def test_many_recordings_are_read_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "available_threads", lambda: 2)
    assert set(in_order(process, (), 40)) == {os.getpid()}
    monkeypatch.setattr(workers, "ALONE_S", 0.0)
    assert os.getpid() not in set(in_order(process, (), 40))
    monkeypatch.setattr(workers, "available_threads", lambda: 1)
    assert set(in_order(process, (), 40)) == {os.getpid()}


@pytest.mark.parametrize("whole", [False, True])
def test_binning_in_processes_gives_the_same(whole: bool) -> None:
    done: list[int] = []
    split = ragged_split(4)
    bins = partial(bin_split, split, 1000, 4, encoding="counts", whole=whole)
    alone = bins(workers=1)
    assert_same(bins(workers=2, progress=done.append), alone)
    assert_same(bins(workers=3), alone)
    assert sum(done) == 5


def test_a_damaged_file_is_named_by_a_worker(tmp_path: Path) -> None:
    for number in range(6):
        write_nmnist(tmp_path / f"Train/4/0000{number}.bin", RECORDS)
    path = tmp_path / "Train/4/00003.bin"
    path.write_bytes(bytes(7))
    split = open_dataset("nmnist", tmp_path).train
    sentences = []
    for number in (1, 2):
        with pytest.raises(RecordingError, match="cut short: record 1 has 2 bytes") as caught:
            bin_split(split, 1000, 6, workers=number)
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]
    assert str(path) in sentences[0]
    assert "\n" not in sentences[0]
