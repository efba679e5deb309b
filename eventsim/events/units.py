"""Units of time: what numbers for `t` mean, and the same in whole microseconds.

In: times as a caller or a file has them, and their unit where that is stated. Out: microseconds for
`make_events`; and for the formats that state no unit, the only one that makes sense.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import EventsimError, RecordingError

TimeUnit = Literal["s", "ms", "us", "ns"]
LIMIT_US = 2**63  # clocks past 2^63 us would be 292,000 years
TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)
SAMPLE = 2**16  # events by which a unit is deduced, at most

_PER_UNIT = {"s": 1_000_000, "ms": 1000, "us": 1}  # microseconds
_LEAST_NS, _MOST_NS = 10**17, 2**63  # microseconds past the year 3000; dates since 1973
# So many times that all end on a whole millisecond do so because that is their unit.
_EVIDENCE = 16


class Unit(NamedTuple):
    """A unit of time, and how it is known."""

    unit: TimeUnit
    how: str


def check_time_unit(unit: object) -> None:
    """Refuse what is no unit and not None, the unit that is to be found out."""
    if unit is not None and unit not in TIME_UNITS:
        raise EventsimError(f"time_unit is {unit!r}, expected one of {', '.join(TIME_UNITS)}")


def in_microseconds(t: NDArray[Any], unit: TimeUnit) -> NDArray[Any]:
    """Return times in microseconds: to the nearest for s, ms and ns, as they are for us.

    Whole numbers stay exact; those that no clock reaches become `LIMIT_US` or more.
    """
    if unit == "us":
        return t
    if t.dtype.kind == "f":
        t = t.astype(np.float64)  # SHD has seconds as float16, of which microseconds are infinite
        return np.rint(t / 1000 if unit == "ns" else t * _PER_UNIT[unit])
    if unit == "ns":
        return t // 1000 + (t % 1000 >= 500)
    return np.where(t < LIMIT_US // _PER_UNIT[unit], t.astype(np.int64) * _PER_UNIT[unit], LIMIT_US)


def stated_or_deduced(t: NDArray[Any], asked: TimeUnit | None) -> Unit:
    """Return the unit that was asked for, or the only one that makes sense of a sample of times.

    Whole numbers of an integer type are microseconds, as all writers have it, or nanoseconds where
    microseconds would lie past the year 3000. Other numbers are judged by how many decimals they
    need, since cameras count microseconds: four or more are seconds, as are fractions around a
    date since 2001; up to three are milliseconds, and none are microseconds, if that is so of 16
    different times or more. float16 (SHD) are seconds.

    Raises `RecordingError` where several readings make sense.
    """
    if asked is not None:
        return Unit(asked, "asked for")
    if t.dtype.kind != "f":
        return _of_whole(t, "whole numbers")
    if t.dtype == np.float16:
        return Unit("s", "float16, which counts nothing smaller for long")
    decimals = _decimals(t[np.isfinite(t)].astype(np.float64), float(np.finfo(t.dtype).eps))
    return unit_of_decimals(t, decimals)


def unit_of_decimals(t: NDArray[Any], decimals: int | None) -> Unit:
    """Return the unit of times that need so many decimals, None where their type has too few."""
    if decimals is not None and decimals > 3:
        return Unit("s", "t has more than three decimals")
    if decimals and len(t) and t.min() >= 1e9 and t.max() < 4e9:
        return Unit("s", "t is since 1970")
    enough = len(np.unique(t)) >= _EVIDENCE
    if decimals == 0 and enough:
        return _of_whole(t, "all whole numbers")
    if decimals and enough:
        return Unit("ms", "t has up to three decimals")
    found = f"from {t.min()} to {t.max()} in {len(t)} events" if len(t) else "empty"
    raise RecordingError(
        f"t is {found}, which may be of several units, expected one by --time-unit "
        f"{'|'.join(TIME_UNITS)} (in Python time_unit)"
    )


def _of_whole(t: NDArray[Any], what: str) -> Unit:
    if len(t) and _LEAST_NS <= t.max() < _MOST_NS:
        return Unit("ns", f"{what} too large for microseconds")
    return Unit("us", what)


def _decimals(t: NDArray[np.float64], precision: float) -> int | None:
    """Return how many decimals times need, 4 for more than 3; None where the type cannot tell."""
    largest = float(np.abs(t).max()) if len(t) else 0.0
    for decimals in range(4):
        slack = 1e-3 + 4 * precision * largest * 10**decimals
        if slack > 0.25:
            return None
        scaled = t * 10**decimals
        if (np.abs(scaled - np.rint(scaled)) <= slack).all():
            return decimals
    return 4
