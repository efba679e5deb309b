"""Network files cut at every byte, with random bytes, and with headers that lie."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_damage import VALUES, WEIGHT, folder, refusal
from network_files import bits, small

from eventsim.errors import NetworkFileError
from eventsim.network import storage
from eventsim.network.graph import Network
from eventsim.network.storage import is_network_file, load_network


def loaded(path: Path) -> Network | None:
    """Load a file, or be refused in one line; nothing else may happen."""
    try:
        return load_network(path)
    except NetworkFileError as error:
        sentence = str(error)
    assert re.fullmatch(f"{path}: .+", sentence)
    return None


def test_a_file_cut_anywhere_is_refused() -> None:
    with folder() as path:
        for length in reversed(range(path.stat().st_size)):
            os.truncate(path, length)
            assert refusal(path).startswith("net.h5: "), length


def structure_of(path: Path) -> list[int]:
    """Return the places of all bytes but the values of datasets: what HDF5's checksums cover."""
    places = set(range(path.stat().st_size))

    def leave_out(_: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            start = node.id.get_offset()
            places.difference_update(range(start, start + node.nbytes))

    with h5py.File(path) as file:
        file.visititems(leave_out)
    return sorted(places)


@given(data=st.data())
@settings(max_examples=20)
def test_changed_bytes_of_the_structure_are_found_or_change_nothing(data: Any) -> None:
    expected = bits(small())
    with folder() as path:
        intact, structure = path.read_bytes(), structure_of(path)
        flips = st.tuples(st.sampled_from(structure), st.integers(1, 255))
        for changes in data.draw(st.lists(st.lists(flips, max_size=3), min_size=20, max_size=20)):
            changed = bytearray(intact)
            for place, flip in changes:
                changed[place] ^= flip
            path.write_bytes(changed)
            network = loaded(path)
            assert network is None or bits(network) == expected, changes


def test_random_bytes_raise_nothing_else() -> None:
    """Anywhere in the file: values may change unseen."""
    rng = np.random.default_rng(0)
    outcomes = []
    with folder() as path:
        intact = path.read_bytes()
        for _ in range(400):
            data = np.frombuffer(intact, np.uint8).copy()
            places = rng.integers(0, len(data), rng.integers(1, 4))
            data[places] = rng.integers(0, 256, len(places))
            path.write_bytes(data.tobytes())
            is_network_file(path)
            outcomes.append(loaded(path) is None)
    assert any(outcomes)
    assert not all(outcomes)


def test_a_header_that_promises_more_than_the_file_is_refused() -> None:
    """A dataset without checksums can say anything; nothing is allocated on its word."""
    rows = 2**40
    with folder() as path:
        with h5py.File(path, "r+") as file:  # h5py's default is the layout without checksums
            del file[WEIGHT]
            file[WEIGHT] = VALUES
        assert loaded(path) is not None
        with h5py.File(path) as file:
            start = file[WEIGHT].id.get_offset()
        data = path.read_bytes()
        for said, promised in (
            (("<4Q", 3, 2, 3, 2), ("<4Q", rows, 2, rows, 2)),  # the shape and its limit
            (("<2Q", start, 24), ("<2Q", start, rows * 8)),  # where the values are
        ):
            before, found, after = data.rpartition(struct.pack(*said))  # the new one is the last
            assert found
            data = before + struct.pack(*promised) + after
        path.write_bytes(data)
        # HDF5 2.0 finds this by itself; the releases before it leave it to us.
        sentence = "net.h5: layers/3/weight (has|cannot .*invalid dataset size)"
        assert re.match(sentence, refusal(path))


def test_values_that_reach_past_the_end_are_refused() -> None:
    with folder() as path, h5py.File(path) as file:
        weight = file[WEIGHT].id
        end = weight.get_offset() + 24
        storage._check_held(weight, 24, end, WEIGHT)
        with pytest.raises(NetworkFileError) as refused:
            storage._check_held(weight, 24, end - 1, WEIGHT)
    assert str(refused.value) == (
        f"{WEIGHT} has 24 bytes from byte {end - 24} on, "
        f"expected no more than the {end - 1} of the file"
    )
