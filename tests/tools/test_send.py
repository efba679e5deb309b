"""`eventsim send`, over UDP and TCP to a source."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command
from live_runs import start
from live_sources import drawn, free_port, joined, open_udp, random_events
from patience import PATIENCE_S
from recording_files import EVENTS, SAID, WHOLE

from eventsim.events.arrays import Events, make_events
from eventsim.events.recordings import read_packets
from eventsim.live.sources import open_source
from eventsim.live.udp import T32, T64


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.npy"
    np.save(path, random_events(7, 2000, y_end=2**15, longest_us=20))
    return path


def looped(events: Events, loops: int) -> Events:
    length = events["t"][-1] - events["t"][0] + np.uint64(1)
    parts = [events.copy() for _ in range(loops)]
    for turn, part in enumerate(parts):
        part["t"] += length * np.uint64(turn)
    return joined(parts)


@pytest.mark.parametrize(("wire", "loops"), [(T64, 1), (T32, 1), (T64, 3)])
def test_send_over_udp_gives_the_recording(
    wire: str, loops: int, recording: Path, tmp_path: Path
) -> None:
    expected, found = looped(np.load(recording), loops), []
    if wire == T32:
        expected["t"] %= np.uint64(2**32)
    out = tmp_path / "out.json"
    with open_udp(wire) as source:
        thread = threading.Thread(target=lambda: found.append(drawn(source, len(expected))))
        thread.start()
        to = f"udp://127.0.0.1:{source.port}/{wire}"
        begin = time.monotonic()
        assert run_command("send", recording, "--to", to, "--loop", loops, "--json", out) == 0
        seconds = time.monotonic() - begin
        thread.join()
        np.testing.assert_array_equal(found[0], expected)
        document = json.loads(out.read_text())
        assert document["datagrams"] == source.counters["datagrams"]
    assert seconds >= document["seconds"] >= (expected["t"][-1] - expected["t"][0]) / 1e6
    assert document["events"] == len(expected)
    assert document["events_per_second"] == document["events"] / document["seconds"]
    assert document["interrupted"] is False


def test_send_over_tcp_is_a_server(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice on one port, to one client that connects again."""
    expected, found = np.load(recording), []
    port = free_port(socket.SOCK_STREAM)
    with open_source(f"tcp://127.0.0.1:{port}") as source:
        thread = threading.Thread(target=lambda: found.append(drawn(source, 4000)))
        thread.start()
        for _ in range(2):
            to = f"tcp://127.0.0.1:{port}"
            assert run_command("send", recording, "--to", to, "--pace", 0, "--json", "-") == 0
            printed = capsys.readouterr()
            assert json.loads(printed.out)["events"] == 2000
            assert printed.err == f"Waiting for a client on port {port}\n"
        thread.join()
        assert source.counters["connections"] == 2
        assert source.counters["unordered_packets"] == 1
    np.testing.assert_array_equal(found[0], joined([expected, expected]))


def test_send_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "long.npy"
    np.save(path, make_events([0, 10, 2000, 10**9], [1] * 4, [1] * 4, [1] * 4))
    with open_udp() as source:
        sending = start("send", path, "--to", f"udp://127.0.0.1:{source.port}")
        assert len(drawn(source, 3)) == 3
        sending.send_signal(signal.SIGINT)
        out, err = sending.communicate(timeout=PATIENCE_S)
    assert (sending.returncode, err) == (0, "")
    # The last one may have come here before the sender has counted it.
    pattern = r"(2 events in 1|3 events in 2) datagrams in .* events/s \(interrupted\)\n"
    assert re.fullmatch(pattern, out)


def test_send_to_a_client_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "long.npy"
    t = np.arange(0, 2_000_000)
    np.save(path, make_events(t, t % 9, t % 9, t % 2))
    port = free_port(socket.SOCK_STREAM)

    def leave() -> None:
        with open_source(f"tcp://127.0.0.1:{port}") as source:
            drawn(source, 1)

    thread = threading.Thread(target=leave)
    thread.start()
    ending = run_command("send", path, "--to", f"tcp://127.0.0.1:{port}", "--pace", 0)
    thread.join()
    assert str(ending).startswith(f"eventsim: tcp://127.0.0.1:{port}: cannot be sent to after ")


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("udp://127.0.0.1:0", "port is 0, expected 1 to 65535"),
        ("file.bin", "this is no address, expected udp://HOST:PORT"),
        ("tcp://203.0.113.1:9", "cannot be bound, Cannot assign requested address"),
        (f"udp://127.0.0.1:9/{T32}", f"event 1: y is 40000, expected 0 to 32767 in {T32}"),
    ],
)
def test_send_says_what_is_wrong(to: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "high.npy"
    np.save(path, make_events([1, 2000], [0, 0], [0, 40000], [1, 1]))
    assert sentence in str(run_command("send", path, "--to", to))
    cut = tmp_path / "cut.npy"
    cut.write_bytes(path.read_bytes()[:-1])
    assert "cut.npy: " in str(run_command("send", cut, "--to", "udp://127.0.0.1:9"))


def test_send_reads_every_format(tmp_path: Path) -> None:
    for name, contents in WHOLE.items():
        (tmp_path / name).write_bytes(contents)
        with open_udp() as source:
            to = f"udp://127.0.0.1:{source.port}"
            said = SAID.get(name, {})
            unit = ("--time-unit", said["time_unit"]) if said else ()
            assert run_command("send", tmp_path / name, "--to", to, "--pace", 0, *unit) == 0
            np.testing.assert_array_equal(
                drawn(source, len(EVENTS)), joined(read_packets(tmp_path / name, **said))
            )
