"""Events as bytes on the network: addresses, faery's two wire formats, and datagrams.

In: datagrams, or any pieces of a stream of records. Out: packets of events for `sources.py`; and
the other way round for what sends them.

faery's own UDP receiver is not used: it polls every 20 ms, its queue has no bound, and it drops
packets that go back in time, and bytes after the last whole record, without a word.
"""

from __future__ import annotations

import re
import select
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import EventsimError
from ..events.arrays import EVENT_DTYPE, Events, refuse_first
from ..events.clocks import TurningClock

T64 = "t64_x16_y16_on8"  # the 13 bytes of EVENT_DTYPE
T32 = "t32_x16_y15_on1"  # 8 bytes, with a clock that turns over every 2^32 us
_T32_DTYPE = np.dtype([("t", "<u4"), ("x", "<u2"), ("y_on", "<u2")])
RECORD_BYTES = {T64: EVENT_DTYPE.itemsize, T32: _T32_DTYPE.itemsize}
WIRES = {"udp": (T64, T32), "tcp": (T64,)}

WAIT_MS = 50  # the longest that a source is deaf to `close`
DATAGRAM_BYTES = 1200  # sent at most: fits the MTU of nearly every path
GATHERED = 64  # datagrams in a packet, at most
# 0.3 s of a million events a second; the system may grant less (net.core.rmem_max).
SOCKET_BUFFER = 4 << 20
# Of Linux 4.12 and later, not in Python's `socket`: nine uint32, the last one is the drops.
SO_MEMINFO = 55
MEMINFO = struct.Struct("=32xI")


class Address(NamedTuple):
    """What `udp://HOST:PORT/FORMAT` or `tcp://HOST:PORT` says."""

    name: str
    protocol: str  # "udp" or "tcp"
    host: str
    port: int
    wire: str  # T64 or T32


def parse_address(name: str, *, listens: bool) -> Address:
    """Read an address; who `listens` may leave the port to the system with 0.

    Raises `EventsimError` for what is no address, a port out of range, and an unknown wire format.
    """
    pattern = r"(udp|tcp)://(?:\[([^\]/]+)\]|([^\[\]/:]+)):(\d+)(?:/(.*))?"
    match = re.fullmatch(pattern, name)
    if match is None:
        raise EventsimError(
            f"{name}: this is no address, expected udp://HOST:PORT, udp://HOST:PORT/FORMAT or "
            f"tcp://HOST:PORT, an IPv6 host in brackets"
        )
    protocol, bracketed, plain, digits, wire = match.groups()
    least = 0 if listens else 1
    if not (len(digits) <= 5 and least <= int(digits) <= 65535):
        raise EventsimError(f"{name}: port is {digits}, expected {least} to 65535")
    if wire is not None and wire not in WIRES[protocol]:
        raise EventsimError(
            f"{name}: format is {wire or '(none)'}, expected {' or '.join(WIRES[protocol])}"
        )
    return Address(name, protocol, bracketed or plain, int(digits), wire or T64)


def resolve(address: Address) -> list[tuple[int, tuple[object, ...]]]:
    """Return the families and socket addresses of a host, or an `EventsimError` without any."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=_kind(address))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EventsimError(f"{address.name}: host cannot be resolved, {reason}") from error
    return [(family, place) for family, _, _, _, place in found]


def _kind(address: Address) -> socket.SocketKind:
    return socket.SOCK_DGRAM if address.protocol == "udp" else socket.SOCK_STREAM


def open_socket(address: Address, *, listens: bool) -> tuple[socket.socket, tuple[object, ...]]:
    """Open a socket of the kind and family of an address; return it and the socket address.

    Who `listens` is bound to it. Raises `EventsimError` where that cannot be.
    """
    family, place = resolve(address)[0]
    try:
        opened = socket.socket(family, _kind(address))
    except OSError as error:
        raise EventsimError(f"{address.name}: cannot be opened, {error.strerror}") from error
    if listens:
        if address.protocol == "tcp":  # else a port is taken for a minute after its last use
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind(place)
        except OSError as error:
            opened.close()
            raise EventsimError(f"{address.name}: cannot be bound, {error.strerror}") from error
    return opened, place


def ready(file: int, writing: bool = False) -> bool:
    """Wait until a file can be read, or written, at most `WAIT_MS`; tell whether it can.

    Without `poll`, which Windows has not, the file must be a socket.
    """
    if not hasattr(select, "poll"):
        reads, writes = ([], [file]) if writing else ([file], [])
        return any(select.select(reads, writes, [], WAIT_MS / 1000))
    poll = select.poll()
    poll.register(file, select.POLLOUT if writing else select.POLLIN)
    return bool(poll.poll(WAIT_MS))


def encode(events: Events, wire: str, *, first: int = 0) -> bytes:
    """Return events as records; `first` is the number of the first one, for errors.

    Raises `RecordingError` for a y that the wire format cannot hold. Times in T32 are modulo 2^32.
    """
    if wire == T64:
        return np.ascontiguousarray(events).tobytes()
    refuse_first(events["y"] >= 2**15, events["y"], "y", f"0 to {2**15 - 1} in {T32}", first)
    records = np.empty(len(events), _T32_DTYPE)
    records["t"] = events["t"] & np.uint64(2**32 - 1)
    records["x"] = events["x"]
    records["y_on"] = events["y"] << 1 | events["on"]
    return records.tobytes()


def datagrams(events: Events, wire: str, *, first: int = 0) -> Iterator[bytes]:
    """Yield events as datagrams of whole records, at most `DATAGRAM_BYTES` long; see `encode`."""
    records = encode(events, wire, first=first)
    size = DATAGRAM_BYTES // RECORD_BYTES[wire] * RECORD_BYTES[wire]
    for start in range(0, len(records), size):
        yield records[start : start + size]


class Receiver:
    """A bound UDP socket, and what its datagrams hold; counts in `counters`."""

    def __init__(self, address: Address, counters: dict[str, int]) -> None:
        """Bind it. Raises `EventsimError` as `open_socket`."""
        self.socket, _ = open_socket(address, listens=True)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.wire = address.wire
        self.clock = TurningClock(32)
        self.counters = counters
        counters |= {"datagrams": 0, "malformed_datagrams": 0}
        if self.wire == T32:
            counters["clock_wraps"] = 0

    def receive(self) -> Events:
        """Return the events of the datagrams that wait, after at most `WAIT_MS`; maybe none."""
        found: list[bytes] = []
        for _ in range(GATHERED if ready(self.socket.fileno()) else 0):
            try:
                datagram = self.socket.recv(65536)
            except BlockingIOError:
                break
            self.counters["datagrams"] += 1
            if self._is_sound(datagram):
                found.append(datagram)
            else:
                self.counters["malformed_datagrams"] += 1
        records = bytearray().join(found)  # an array on bytes could not be written to
        if self.wire == T64:
            return np.frombuffer(records, EVENT_DTYPE)
        return self._from_t32(np.frombuffer(records, _T32_DTYPE))

    def system_drops(self) -> dict[str, int]:
        """Return what the system tells of dropped datagrams; empty where it does not, or closed."""
        if sys.platform != "linux":
            return {}
        try:
            told = self.socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO.size)
        except OSError:
            return {}
        return {"system_drops": MEMINFO.unpack(told)[0]} if len(told) == MEMINFO.size else {}

    def close(self) -> None:
        """Close the socket, after a last look at what was dropped; may come twice."""
        self.counters |= self.system_drops()
        self.socket.close()

    def _is_sound(self, datagram: bytes) -> bool:
        if not datagram or len(datagram) % RECORD_BYTES[self.wire]:
            return False
        return self.wire == T32 or not datagram[12::13].translate(None, b"\0\1")

    def _from_t32(self, records: NDArray[np.void]) -> Events:
        events = np.empty(len(records), EVENT_DTYPE)
        if len(records):
            events["t"] = self.clock.unwrap(records["t"])
            self.counters["clock_wraps"] = self.clock.turns
        events["x"] = records["x"]
        events["y"] = records["y_on"] >> 1
        events["on"] = records["y_on"] & 1
        return events


class RecordStream:
    """Records of T64 in a stream that is cut anywhere; counts "malformed_bytes" in `counters`."""

    def __init__(self, counters: dict[str, int]) -> None:
        """Begin with a record."""
        self.rest = b""
        self.counters = counters
        counters["malformed_bytes"] = 0

    def add(self, piece: bytes) -> Events:
        """Return the events that a piece completes, without records whose `on` is no 0 or 1."""
        stream = self.rest + piece
        whole = len(stream) - len(stream) % EVENT_DTYPE.itemsize
        self.rest = stream[whole:]
        records = np.frombuffer(bytearray(stream[:whole]), np.uint8)
        records = records.reshape(-1, EVENT_DTYPE.itemsize)
        good = records[:, -1] <= 1
        if not good.all():
            self.counters["malformed_bytes"] += int((~good).sum()) * EVENT_DTYPE.itemsize
            records = records[good]
        return records.reshape(-1).view(EVENT_DTYPE)

    def end(self) -> None:
        """Count a half record at the end; what comes next begins with a record."""
        self.counters["malformed_bytes"] += len(self.rest)
        self.rest = b""
