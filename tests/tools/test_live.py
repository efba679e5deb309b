"""`eventsim stream` and what it is made of, but for the views."""

from __future__ import annotations

import base64
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run_command
from live_runs import (
    documents,
    run,
    small_network,
    start,
    wait_until_bound,
    wait_until_processed,
)
from live_sources import free_port
from patience import PATIENCE_S

import eventsim as es
from eventsim.live.filters import Filters, FilterSettings
from eventsim.live.sources import open_source
from eventsim.live.stream import Stream
from eventsim_tools.live.json_lines import JsonLines
from eventsim_tools.live.monitor import Monitor


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.h5", class_names=("left", "middle", "right"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A tenth of a second in which the left third sees most."""
    rng = np.random.default_rng(7)
    t = np.sort(rng.integers(0, 100_000, 2000))
    x = np.where(rng.random(2000) < 0.8, rng.integers(0, 3, 2000), rng.integers(0, 9, 2000))
    path = tmp_path / "left.npy"
    np.save(path, es.make_events(t, x, rng.integers(0, 6, 2000), rng.integers(0, 2, 2000)))
    return path


def test_without_a_terminal_it_writes_json_lines(network: Path, recording: Path) -> None:
    status, out, err = run("stream", network, "--from", recording, "--pace", 0)
    assert (status, err) == (0, "")
    lines = documents(out)
    (summary,) = lines["summary"]
    assert list(lines["summary"][0]["events"].values()) == [2000, 2000, 0, 0, 0]
    assert len(lines["answer"]) == summary["answers"] == summary["predictions"]["left"]
    assert {line["class"] for line in lines["answer"]} == {"left"}

    net, (events, _) = es.load_network(network), es.read_recording(recording)
    session = es.Session(net, window_us=100_000, hop_us=10_000)
    expected = [(a.t_us, a.scores.tolist()) for a in session.feed(events)]
    assert [(line["t_us"], line["scores"]) for line in lines["answer"]] == expected
    counted = [layer.as_dict() for layer in session.operations.layers]
    assert summary["operations"] == counted


def test_options_reach_the_session_and_the_filters(network: Path, recording: Path) -> None:
    status, out, _ = run(
        "stream", network, "--from", recording, "--pace", 0, "--loop", 3, "--mode", "clocked",
        "--answer", "leaky", "--hop-us", 5000, "--window-us", 20_000, "--region", "0,0,6,4",
        "--refractory-us", 300, "--merge-polarities", "--queue", 100, "--json", "-",
    )  # fmt: skip
    assert status == 0
    summary = json.loads(out)
    assert (summary["mode"], summary["answer"]) == ("clocked", "leaky")

    settings = FilterSettings((0, 0, 6, 4), 1, True, 300)
    events, _ = es.read_recording(recording)
    length = int(events["t"][-1] - events["t"][0]) + 1
    packets = []
    for number in range(3):
        packets.append(events.copy())
        packets[-1]["t"] += np.uint64(number * length)
    net = es.load_network(network)
    session = es.Session(
        net, mode="clocked", answer="leaky", hop_us=5000, window_us=20_000, leak_us=20_000
    )
    filters = Filters(settings, es.Sensor(9, 6))
    answers = [answer for packet in packets for answer in session.feed(filters(packet))]
    assert summary["filter_counters"] == filters.counters
    assert summary["session_counters"] == session.counters
    assert summary["answers"] == len(answers) > 50
    assert summary["operations"] == [layer.as_dict() for layer in session.operations.layers]


def test_ctrl_c_ends_with_a_summary_in_which_all_is_accounted_for(
    network: Path, recording: Path
) -> None:
    with start("stream", network, "--from", recording, "--loop", 0, "--json-lines", "-") as running:
        assert running.stdout is not None
        first = [running.stdout.readline() for _ in range(3)]
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, err) == (0, "")
    (summary,) = documents("".join(first) + out)["summary"]
    assert summary["interrupted"]
    received, *parts = summary["events"].values()
    assert received == sum(parts) == summary["source_counters"]["received"]


def test_two_processes_over_udp(network: Path, recording: Path, tmp_path: Path) -> None:
    """The demo: one sends a recording, one follows; what arrives is what was sent, and in time."""
    lines = tmp_path / "lines.jsonl"
    port = free_port(socket.SOCK_DGRAM)
    address = f"udp://127.0.0.1:{port}"
    with start("stream", network, "--from", address, "--json-lines", lines) as running:
        wait_until_bound(port)
        status, _, _ = run("send", recording, "--to", address, "--pace", 2, "--loop", 4)
        assert status == 0
        wait_until_processed(lines, 8000)
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, err) == (0, "")
    (summary,) = documents(lines.read_text())["summary"]
    assert list(summary["events"].values()) == [8000, 8000, 0, 0, 0]
    assert re.search(r"received +processed +dropped +filtered +queued\s.*\s8,000 +8,000", out, re.S)
    assert "Answers by class: left" in out
    assert "Went wrong" not in out


def test_a_reader_that_goes_away_ends_it(network: Path, recording: Path) -> None:
    with start("stream", network, "--from", recording, "--loop", 0, "--json-lines", "-") as running:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["kind"] == "answer"
        running.stdout.close()
        assert running.wait(PATIENCE_S) == 0


def test_a_full_disk_loses_lines_and_goes_on(network: Path, recording: Path) -> None:
    status, out, err = run(
        "stream", network, "--from", recording, "--pace", 0, "--json-lines", "/dev/full"
    )
    assert status == 0
    assert err == (
        "/dev/full: a line cannot be written, No space left on device; the stream goes on, lost "
        "lines are counted\n"
    )
    assert "lines lost 10" in out  # nine answers and the summary
    assert "2,000       2,000" in out


LIMITED = """
import resource, signal, sys
from pathlib import Path
from eventsim_tools.live.json_lines import JsonLines
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
with JsonLines(path) as lines:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    lines.write({"number": n} for n in range(12))
    print(path.stat().st_size)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    lines.write([{"number": 99}])
    print(lines.lost)
"""


def test_a_file_never_has_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True
    )
    numbers = [json.loads(line)["number"] for line in path.read_text().splitlines()]
    assert numbers == [0, 1, 2, 3, 4, 5, 6, 99]  # 14 bytes each: the eighth would need 112
    assert done.stdout == "98\n5\n"
    assert done.stderr.count("a line cannot be written") == 1


def test_lines_replace_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text("old\n" * 100)
    with JsonLines(path) as lines:
        lines.write([{"a": 1}, {"a": 2}])
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--from", "nothing.npy"], "nothing.npy: there is no such file"),
        (["--from", "udp://127.0.0.1:99999"], "port is 99999, expected 0 to 65535"),
        (["--from", "udp://127.0.0.1:0", "--pace", 1], "pace is 1.0, expected none for a live"),
        (["--from", "udp://127.0.0.1:0", "--loop", 2], "--loop is 2, expected 1: udp://"),
        (["--from", "REC", "--sensor", "9by6"], "--sensor is '9by6', expected whole numbers NxN"),
        (["--from", "REC", "--region", "1,2,3"], "--region is '1,2,3', expected whole numbers N,N"),
        (["--from", "REC", "--sensor", "20x20"], "events come from 20 x 20 pixels, expected the"),
        (["--from", "REC", "--mode", "fast"], "mode is 'fast', expected one of"),
        (["--from", "REC", "--answer", "all"], "answer is 'all', expected one of"),
        (["--from", "REC", "--when-full", "panic"], "--when-full is 'panic', expected one of"),
        (["--from", "REC", "--queue", 0], "--queue is 0, expected a whole number of events"),
        (
            ["--from", "REC", "--hop-us", 0],
            "--hop-us is 0, expected a whole number of microseconds",
        ),
        (["--from", "REC", "--json-lines", "no/such"], "no/such: the folder no does not exist"),
    ],
)
def test_bad_input_is_one_sentence(
    network: Path, recording: Path, arguments: list[Any], sentence: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    chosen = [recording if argument == "REC" else argument for argument in arguments]
    said = str(run_command("stream", network, *chosen))
    assert said.startswith("eventsim: ")
    assert sentence in said
    assert "\n" not in said
    assert capfd.readouterr() == ("", "")


def test_snapshots_tell_what_happened_since_the_one_before(network: Path, recording: Path) -> None:
    net = es.load_network(network)
    events, _ = es.read_recording(recording)
    session = es.Session(net, window_us=10_000)
    packets = [
        *np.split(events, [500, 1200]),
        es.make_events([99_000, 10**6], [8, 99], [5, 0], [1, 1]),
    ]
    stream = Stream(open_source(packets), session, capacity=700)
    monitor = Monitor(stream, "small.h5", "left.npy")
    before = session.operations
    image = np.zeros((2, 6, 9), np.int64)
    seen = 0
    for step in stream:
        monitor.see(step)
        seen += len(step.events)
        np.add.at(image, (step.events["on"].astype(int), step.events["y"], step.events["x"]), 1)
        shot = monitor.snapshot()
        assert json.loads(json.dumps(shot, allow_nan=False)) == shot
        assert shot["events_per_second"] * shot["interval_s"] == pytest.approx(
            len(step.events) - (seen == 2001)  # the last one goes back in time
        )
        (layer,), (old,), (new,) = shot["layers"], before.layers, session.operations.layers
        before = session.operations
        assert layer["sops_per_second"] * shot["interval_s"] == pytest.approx(new.sops - old.sops)
        assert layer["neurons"] == 3
        latency = monitor.snapshot()["latency_us"]  # of packets since the snapshot above: none
        assert latency == {"p50": None, "p99": None}
        assert (shot["latency_us"]["p50"] is None) == (len(step.events) == 0)
        for number, name in enumerate(("off", "on")):
            shown = np.frombuffer(base64.b64decode(shot["image"][name]), np.uint8)
            np.testing.assert_array_equal(shown.reshape(6, 9), image[number])
        image[:] = 0
    account = monitor.account()
    assert account["events"] == {
        "received": 2002, "processed": 2000, "dropped": 1, "filtered": 1, "queued": 0,
    }  # fmt: skip
    assert account["faults"]["backward"] == 1
    assert monitor.snapshot(ended=True)["ended"]
    assert (account["network"], account["source"]) == ("small.h5", "left.npy")
