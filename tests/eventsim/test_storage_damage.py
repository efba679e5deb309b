"""Damaged network files: each gets its sentence, those of `tests/snapshots/network_files.json`."""

from __future__ import annotations

import h5py
from network_damage import DAMAGE, FILES, folder, own, refusal
from snapshots import check_snapshot


def test_the_sentence_of_each_damage() -> None:
    found = {}
    with folder() as path:
        path.unlink()
        found["no such file"] = refusal(path)
        path.mkdir()
        found["a folder"] = refusal(path)
    for name, damaged in FILES.items():
        with folder() as path:
            path.write_bytes(damaged(path.read_bytes()))
            found[name] = own(refusal(path))
    for name, damage in DAMAGE.items():
        with folder() as path:
            with h5py.File(path, "r+") as file:
                damage(file)
            found[name] = own(refusal(path))
    check_snapshot("network_files.json", found)
