"""Events as columns, one array a field: those of text, NumPy and HDF5 files, and what they are.

In: columns, or what reads a part of them, from the files of those formats; with names, or without.
Out: which column is which field, and packets of events. Lists of spikes, of times and units, are
events on a line of pixels: x is the unit, y and polarity are 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import RecordingError
from ..arrays import Events, make_events
from ..units import SAMPLE, TimeUnit, Unit, stated_or_deduced
from .format import Asked, Contents

EXPECTED = "t, x, y and on (or p), or t and unit"
FIELDS = ("t", "x", "y", "on")
LINE = ("t", "x")  # the fields of a list of spikes

# Names that writers give the fields, best first; their case does not matter.
_NAMES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "on": ("on", "p", "ps", "pol", "polarity", "polarities"),
}
_UNITS = ("unit", "units", "neuron", "neurons", "channel", "channels")  # x, of a line
# "t_us", "time [s]", "timestamp(ns)"
_TIME = re.compile(r"([a-z]+)(?:[ _]?[\[(]?(s|sec|seconds|ms|us|usec|ns|nsec)[\])]?)?")
_UNIT = {"sec": "s", "seconds": "s", "usec": "us", "nsec": "ns"}


class Field(NamedTuple):
    """What an array would say of itself."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Layout(NamedTuple):
    """Which column is which field."""

    # of a field in `FIELDS`, or only in `LINE`: the name of its column, or its number
    names: Mapping[str, Any]
    unit: Unit | None = None  # that the name of the times states
    others: tuple[str, ...] = ()  # columns that are left alone


ROW = Layout({"t": "t", "x": "x", "on": "p"})  # tonic's SHD, N-TIDIGITS and others of one row


def find_fields(names: Iterable[str]) -> Layout | None:
    """Find the fields of events, or else of a line's, among names; None where one is missing."""
    plain = {name: name.strip().lower() for name in names}
    line = {"t": _NAMES["t"], "x": _UNITS}
    return _find(plain, _NAMES) or _find(plain, line)


def _find(plain: Mapping[str, str], wanted: Mapping[str, tuple[str, ...]]) -> Layout | None:
    found: dict[str, str] = {}
    unit = None
    for field, known in wanted.items():
        for name, lower in plain.items():
            stem, stated = lower, None
            if field == "t" and (parts := _TIME.fullmatch(lower)) and lower not in known:
                stem, stated = parts[1], parts[2]
            if stem not in known:
                continue
            best = found.get(field)
            if best is None or known.index(stem) < known.index(_stem(plain[best], known)):
                found[field] = name
                if field == "t" and stated:
                    unit = Unit(cast(TimeUnit, _UNIT.get(stated, stated)), "stated by its name")
    if len(found) < len(wanted):
        return None
    used = set(found.values())
    return Layout(found, unit, tuple(name for name in plain if name not in used))


def events_of_fields(array: NDArray[Any], time_unit: TimeUnit = "us") -> Events:
    """Return the events of a structured array; `time_unit` unless the name of the times says it.

    Raises `RecordingError` where a field of events is missing, or as `make_events`.
    """
    names = array.dtype.names or ()
    layout = ROW if set(names) == {"t", "x", "p"} else find_fields(names)
    if layout is None:
        raise RecordingError(f"events have dtype {array.dtype}, expected fields {EXPECTED}")
    unit = time_unit if layout.unit is None else layout.unit.unit
    return make_events(*event_columns(array, layout), time_unit=unit)


def _stem(name: str, known: tuple[str, ...]) -> str:
    parts = _TIME.fullmatch(name)
    return name if name in known or parts is None else parts[1]


# Orders that writers of columns without names have, as the columns of t, x, y and polarity.
_ORDERS = {"txyp": (0, 1, 2, 3), "xypt": (3, 0, 1, 2), "xytp": (2, 0, 1, 3)}
_MOST = 0.9  # of the values make sense; others are refused where they stand


def find_order(sample: NDArray[Any]) -> Layout:
    """Find the fields among columns without names, by their values: (events, columns).

    Polarities are 0 and 1, or -1 and 1, x and y are whole, and times hardly ever decrease; of
    several such orders, the one whose times have the largest span. A first column of five that
    counts 0, 1, 2 is an index.

    Raises `RecordingError` where no order, or more than one, makes sense.
    """
    rows = sample[np.isfinite(sample).all(axis=1)] if len(sample) else sample
    index = np.arange(len(rows))
    skipped = int(rows.shape[1] == 5 and bool((rows[:, 0] - rows[:1, 0] == index).all()))
    columns = rows[:, skipped:].astype(float)
    if columns.shape[1] != 4 or not len(rows):
        raise RecordingError(
            f"the file has {len(rows)} rows of {sample.shape[1]} columns without names, expected 4"
        )
    near = (columns == np.floor(columns)) & (columns >= 0) & (columns < 2**16)
    is_pixel = near.mean(axis=0) >= _MOST
    is_sign = np.isin(columns, (-1, 0, 1)).mean(axis=0) >= _MOST
    rises = np.mean(np.diff(columns, axis=0, prepend=columns[:1]) >= 0, axis=0) >= _MOST
    span = np.ptp(columns, axis=0)
    fits = [
        (t, x, y, on)
        for t, x, y, on in _ORDERS.values()
        if is_sign[on] and rises[t] and is_pixel[x] and is_pixel[y]
    ]
    fits = [fit for fit in fits if span[fit[0]] == max(span[other[0]] for other in fits)]
    if len(fits) != 1:
        first = ", ".join(f"{value:g}" for value in columns[0])
        raise RecordingError(
            f"the columns have no names and could be {'several orders' if fits else 'no order'} of "
            f"t, x, y and polarity (the first row is {first}), expected names"
        )
    names = {field: skipped + at for field, at in zip(FIELDS, fits[0], strict=True)}
    return Layout(names, others=("column 1",)[:skipped])


def show(layout: Layout, unit: Unit, how: str) -> dict[str, str]:
    """Say for a person which columns were taken for which fields, and how that is known."""
    order = sorted(layout.names, key=lambda field: str(layout.names[field]))
    if isinstance(layout.names["t"], int):
        columns = ", ".join(order)
    else:
        columns = ", ".join(str(name) for name in layout.names.values())
    facts = {"columns": f"{columns} ({how})"}
    if layout.others:
        facts["left_alone"] = ", ".join(name or "(no name)" for name in layout.others)
    return facts | {"time_unit": f"{unit.unit} ({unit.how})"}


def check_fields(fields: Mapping[str, Any]) -> Layout:
    """Find and check whole columns, before any value in them is read."""
    layout = find_fields(fields)
    if layout is None:
        raise RecordingError(f"the fields are {', '.join(fields) or '(none)'}, expected {EXPECTED}")
    chosen = {field: fields[name] for field, name in layout.names.items()}
    for field, column in chosen.items():
        name = layout.names[field]
        kinds = "biuf" if field == "on" else "iuf"
        if len(column.shape) != 1 or column.dtype.kind not in kinds:
            raise RecordingError(
                f"field {name} has dtype {column.dtype} and shape {column.shape}, "
                f"expected one dimension of numbers"
            )
        if column.shape != chosen["t"].shape:
            raise RecordingError(
                f"{name} has dtype {column.dtype} and shape {column.shape}, "
                f"expected numbers of shape {chosen['t'].shape}"
            )
    return layout


def unit_of(layout: Layout, times: NDArray[Any], asked: TimeUnit | None) -> Unit:
    """Return the unit of times: asked for, stated by the name of their column, or deduced."""
    return layout.unit if layout.unit and not asked else stated_or_deduced(times, asked)


def column_packets(
    read: Callable[[slice], Mapping[str, Any] | Sequence[Any]],
    length: int,
    asked: Asked,
    layout: Layout,
    unit: TimeUnit,
) -> Iterator[Events]:
    """Make packets of `asked.size` events of what `read` gives for a part of the columns."""
    for first in range(0, length, asked.size):
        columns: Any = read(slice(first, first + asked.size))
        t, x, y, on = event_columns(columns, layout)
        yield asked.faults.make(t, x, y, on, first=first, time_unit=unit)


def contents_of(
    columns: Mapping[str, NDArray[Any]], asked: Asked, stream: str = "",
    others: tuple[str, ...] = (),
) -> Contents:  # fmt: skip
    """Return what whole columns hold; `others` are left alone."""
    layout = check_fields(columns)._replace(others=others)
    unit = unit_of(layout, columns[layout.names["t"]][:SAMPLE], asked.time_unit)

    def read(part: slice) -> Mapping[str, Any]:
        return {name: column[part] for name, column in columns.items()}

    length = len(columns[layout.names["t"]])
    packets = column_packets(read, length, asked, layout, unit.unit)
    facts = {"stream": stream} if stream else {}
    return Contents(packets, facts=facts | show(layout, unit, "by their names"))


def event_columns(columns: Any, layout: Layout) -> list[Any]:
    """Return the columns t, x, y and polarity; a line's last two are 0."""
    t = columns[layout.names["t"]]
    zeros = np.zeros(len(t), np.uint8)
    names = layout.names
    return [columns[names[field]] if field in names else zeros for field in FIELDS]
