"""Recordings of one's own: one folder a class, in any format that `read_recording` reads.

In: a folder with `train` and `test` in it, or a share of the recordings to test with. Out: which
file is of which class, part and group; `datasets.py` makes a data set of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eventsim.errors import EventsimError
from eventsim.events.formats.registry import FORMATS
from eventsim.jit import Int64s

TEST_SHARE = 0.2
PARTS = {"train": ("train", "training"), "test": ("test", "testing")}
_SUFFIXES = {suffix for form in FORMATS for suffix in form.suffixes}


class FolderError(EventsimError):
    """A folder of recordings is not laid out as it must be; the message says how."""


@dataclass(frozen=True)
class Found:
    """The recordings of a folder, in the order of class, then path."""

    paths: tuple[Path, ...]
    labels: Int64s  # indices into class_names
    is_test: np.ndarray
    groups: tuple[str, ...] | None  # who or what is recorded, where that was asked for
    class_names: tuple[str, ...]


def find_recordings(
    root: Path,
    test_share: float | None = None,
    group_by: str | None = None,
    seed: int = 0,
) -> Found:
    """Find classes, recordings and parts.

    Where `root` has folders `train` and `test`, these are the parts; else `test_share` of the
    recordings (0.2 by default) are for testing: of each class alike, chosen by `seed`, and with
    `group_by` whole groups at a time. `group_by` is a regular expression that is searched in each
    path from `root` on; its first group, or all of it, names the group.

    Raises `FolderError`.
    """
    parts = {
        part: found
        for part, names in PARTS.items()
        if (found := next((f for f in _folders(root) if f.name.lower() in names), None))
    }
    if parts and test_share is not None:
        raise FolderError(f"--test-share is {test_share}, expected none: {root} has {parts}")
    if test_share is not None and not 0 < test_share < 1:
        raise FolderError(f"--test-share is {test_share}, expected a number between 0 and 1")
    roots = list(parts.values()) if parts else [root]
    classes = {folder.name for one in roots for folder in _folders(one)}
    if not classes:
        raise FolderError(f"{root} holds no folders, expected one for each class")
    names = tuple(sorted(classes, key=_natural))
    rows = [
        (names.index(folder.name), path, part_root == parts.get("test"))
        for part_root in roots
        for folder in _folders(part_root)
        for path in _recordings(folder)
    ]
    if not rows:
        raise FolderError(f"{root} holds no recordings, expected some in each class's folder")
    rows.sort(key=lambda row: (row[0], _natural(row[1].as_posix())))
    paths = tuple(path for _, path, _ in rows)
    labels = np.array([label for label, _, _ in rows], np.int64)
    groups = None if group_by is None else _groups(root, paths, group_by)
    is_test = np.array([test for _, _, test in rows])
    if not parts:
        units = groups or tuple(map(str, range(len(paths))))
        is_test = choose_test(labels, units, test_share or TEST_SHARE, seed)
    elif groups and (both := {g for g, t in zip(groups, is_test, strict=True) if t}
                     & {g for g, t in zip(groups, is_test, strict=True) if not t}):  # fmt: skip
        raise FolderError(f"group {min(both)!r} is in both parts of {root}, expected one")
    return Found(paths, labels, is_test, groups, names)


def choose_test(labels: Int64s, groups: tuple[str, ...], share: float, seed: int) -> np.ndarray:
    """Choose the recordings to test with: whole groups, and of each class about the same share.

    Groups come in random order; one is taken where that brings the classes nearer to their share.
    """
    count = int(labels.max()) + 1
    names = sorted(set(groups))
    number = {name: at for at, name in enumerate(names)}
    of = np.array([number[group] for group in groups])
    table = np.zeros((len(names), count))
    np.add.at(table, (of, labels), 1)
    wanted = np.maximum(share * table.sum(axis=0), np.minimum(1, table.sum(axis=0) // 2))
    taken = np.zeros(len(names), bool)
    for group in np.random.default_rng(seed).permutation(len(names)):
        missing = wanted - table[taken].sum(axis=0)
        if np.abs(missing - table[group]).sum() < np.abs(missing).sum() - 1e-9:
            taken[group] = True
    chosen: np.ndarray = taken[of]
    return chosen


def _groups(root: Path, paths: tuple[Path, ...], pattern: str) -> tuple[str, ...]:
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise FolderError(
            f"--group-by is {pattern!r}, expected a regular expression: {error}"
        ) from error
    found = []
    for path in paths:
        name = path.relative_to(root).as_posix()
        match = search(name)
        if match is None:
            raise FolderError(f"--group-by is {pattern!r}, which {name} does not match")
        found.append(match[1] if match.re.groups else match[0])
    return tuple(found)


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise FolderError(f"{root} is no folder, expected one with a folder for each class")
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name[0] != ".")


def _recordings(folder: Path) -> list[Path]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    for path in sorted(paths):
        if path.suffix.lower() not in _SUFFIXES:
            raise FolderError(
                f"{path} has the suffix {path.suffix or '(none)'}, expected recordings only, with "
                f"one of {', '.join(sorted(_SUFFIXES))}"
            )
    return paths


def _natural(name: str) -> list[tuple[int, str]]:
    """Order "2" before "10"."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]
