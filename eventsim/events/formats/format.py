"""What a format of recordings is: a name, suffixes, first bytes, and a decoder into packets.

In: a path, and what was asked for, from `recordings.py` by way of `registry.py`. Out: `Contents`,
what the beginning of the file states and an iterator over packets as they stand in the file;
`recordings.py` checks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from ...errors import RecordingError
from ..arrays import Events, Sensor
from ..faults import Faults
from ..units import TimeUnit

Name = TypeVar("Name")


class Asked(NamedTuple):
    """How a file shall be read; a decoder heeds what concerns its format."""

    size: int  # about so many events a packet
    time_unit: TimeUnit | None = None  # of times whose unit the file does not state
    stream: int | None = None  # of the event streams of a file, counted from 0
    faults: Faults = Faults()  # what becomes of what cannot be used


class Contents(NamedTuple):
    """What a decoder finds in a file, which may be no sensor."""

    packets: Iterator[Events]  # read and decoded as they are drawn
    stated: Sensor | None = None
    facts: Mapping[str, str] = {}  # how the contents were understood, to be shown


class Format(NamedTuple):
    """A format, and its decoder."""

    name: str
    suffixes: tuple[str, ...]
    magic: bytes  # the first bytes of every such file; empty where a format has none
    decode: Callable[[Path, Asked], Contents]
    # Tells formats with the same magic, or none, apart, by the first 64 KiB of a file.
    is_stated_in: Callable[[bytes], bool] | None = None

    def begins(self, head: bytes) -> bool:
        """Tell whether a file that begins with `head` is of this format and no other."""
        if not head.startswith(self.magic):
            return False
        return bool(self.magic) if self.is_stated_in is None else self.is_stated_in(head)


def choose_stream(names: Sequence[Name], asked: int | None) -> Name:
    """Return the only event stream, or the one that was asked for."""
    if asked is None and len(names) == 1:
        return names[0]
    if asked is None or not 0 <= asked < len(names):
        what = "none was chosen" if asked is None else f"--stream is {asked}"
        shown = ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
        raise RecordingError(
            f"the file holds {len(names)} event streams ({shown}) and {what}, "
            f"expected --stream 0 to {len(names) - 1} (in Python stream)"
        )
    return names[asked]


@contextmanager
def decoding_by(library: str) -> Iterator[None]:
    """Make a `RecordingError` of whatever a library raises when it decodes a damaged file."""
    try:
        yield
    except RecordingError:
        raise
    except BaseException as error:
        # A panic in faery's Rust code derives from BaseException, by a class with no import path.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RecordingError(f"cannot be decoded, {library} says: {reason}") from error
