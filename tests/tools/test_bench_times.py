"""`eventsim bench`: what it makes of times, by a clock of its own, and what it prints of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stand_ins import Clock, Printed

import eventsim as es
from eventsim_tools.bench import ceiling, latency, layers, timing
from eventsim_tools.bench.tables import print_workload


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run be timed once, and no two take the same time."""
    monkeypatch.setattr(timing, "time", Clock(by_looks=True))


def test_everybody_has_a_turn_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes less than 20 ms runs until they have passed."""
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    turns: list[str] = []

    def contestant(name: str, takes_s: float) -> timing.Contestant:
        def run() -> None:
            turns.append(name)
            clock.now += takes_s

        return timing.Contestant(name, 1, run)

    contestants = [contestant("eventsim", 0.03), contestant("other", 0.0075)]
    done: list[int] = []
    timings = timing.take_turns(contestants, repeats=2, samples=3, advance=done.append)
    assert turns == ["eventsim", "other", "other", "other"] * 3  # the first round warms up
    assert done == [1] * 6
    assert clock.slept == [timing.PAUSE_S] * 6
    engine, other = ([*t.seconds] for t in timings)
    assert engine == pytest.approx([0.01, 0.01])
    assert other == pytest.approx([0.0025, 0.0025])
    assert timings[1].as_dict(timings)["times_the_engine"] == pytest.approx(0.25)


def test_break_even_lies_where_the_ratio_comes_to_one() -> None:
    assert layers.break_even([0.01, 0.1], [10, 0.1]) == pytest.approx(0.01 * 10**0.5)
    assert layers.break_even([0.01, 0.1], [10, 2]) is None
    assert layers.break_even([0.01, 0.02, 0.1], [8, 4, 1 / 4]) == pytest.approx(
        np.exp((np.log(0.02) + np.log(0.1)) / 2)
    )


@pytest.mark.usefixtures("looks")
def test_layers_are_timed_beside_torch() -> None:
    result = layers.time_convolution(1, activities=(0.01, 0.2), side=4, steps=5, out_channels=8)
    assert [case["activity"] for case in result["cases"]] == [0.01, 0.2]
    assert result["cases"][1]["sops"] > 4 * result["cases"][0]["sops"] > 0
    dense = layers.time_dense(3, sizes=(32, 64), steps=5)
    assert [case["n"] for case in dense["cases"]] == [32, 64]
    for case in result["cases"]:
        assert case["dense_macs"] == 5 * 16 * 9 * 64 * 8
        check_rates(case, ["eventsim", "torch"], 1)
    for case in dense["cases"]:
        assert case["dense_macs"] == 5 * case["n"] ** 2
        check_rates(case, ["eventsim", "torch CSR", "torch"], 3)


def check_rates(case: Any, names: list[str], repeats: int) -> None:
    """What follows from the times of a case, by a clock that goes on by 2 ms more at each turn."""
    turns = np.array(list(case["seconds"].values())).T.ravel()
    np.testing.assert_allclose(np.diff(turns), 0.002)
    assert list(case["seconds"]) == names
    median = {name: sorted(seconds)[repeats // 2] for name, seconds in case["seconds"].items()}
    assert case["sops_a_second"] == case["sops"] / median["eventsim"]
    assert case["macs_a_second"] == case["dense_macs"] / median["torch"]
    assert case["ratio"] == {name: median[name] / median["eventsim"] for name in names[1:]}


@pytest.mark.usefixtures("looks")
def test_only_reading_reads_every_row() -> None:
    lists = ceiling.rows_of_convolution(0.05, steps=2, side=4, inputs=8, channels=16)
    active = np.diff(lists.pointers)
    assert len(active) == 2 * 16
    assert active.sum() == len(lists.rows)
    pairs = lists.blocks.view(np.int64)
    assert ceiling.read_lists(pairs, lists.rows) == pairs[:, lists.rows].sum()
    (case,) = ceiling.measure_ceiling([lists], repeats=1)["cases"]
    adding, reading = case["add_rows_seconds"], case["only_reading_seconds"]
    assert reading - adding == pytest.approx(0.002)
    assert case["share"] == reading / adding
    assert case["add_rows_sops_a_second"] == len(lists.rows) * 16 / adding
    assert case["only_reading_weights_a_second"] == len(lists.rows) * 16 / reading


def test_each_event_is_timed_in_a_run_that_keeps_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that advances by one microsecond for each look, and by what each event needs."""
    fed: list[list[int]] = []

    class Run:
        def __init__(self, network: es.Network) -> None:
            fed.append([])

        def feed(self, packet: Any) -> None:
            fed[-1].append(len(packet))
            now[0] += 1000 * len(packet)

    def clock() -> int:
        now[0] += 1000
        return now[0]

    now = [0]
    network = es.Network((2, 1, 1), 1000, [es.Flatten(), es.Dense(np.eye(2), neuron=es.IF(1.0))])
    monkeypatch.setattr(latency.es, "AsynchronousRun", Run)
    monkeypatch.setattr(latency.time, "perf_counter_ns", clock)
    events = es.make_events(*[np.zeros(2500, int)] * 4)
    done: list[int] = []
    result = latency.time_events(network, events, 2, done.append)
    assert fed == [[1] * 2500, [1000, 1000, 500], [2500]] * 3
    assert done == [1] * 3
    assert result["events"] == 2500
    assert result["event_median_seconds"] == pytest.approx([2e-6] * 2)
    assert result["event_p99_seconds"] == pytest.approx([2e-6] * 2)
    assert result["packets_events_a_second"] == pytest.approx([2500 / 2503e-6] * 2)
    assert result["one_packet_events_a_second"] == pytest.approx([2500 / 2501e-6] * 2)


MLP = {
    "description": "512FC-10", "steps": 300, "dt_us": 1000, "firing_rates": [0.0125, 0.3],
    "samples": 2, "events_a_sample": 4084.5, "sops_a_sample": 2e6, "dense_macs_a_sample": 1e9,
    "left_out": {"norse": "not installed"},
    "agreement": [
        {"peer": "torch CSR", "version": "2.4", "differing": [0, 1], "engine_spikes": [4321, 50],
         "verdict": "rounding"},
    ],
    "timings": [
        {"name": "torch CSR", "given": "ready CSR frames", "threads": 2, "median": 0.004,
         "min": 0.003, "max": 0.005, "times_the_engine": 4.0},
        {"name": "torch CSR", "given": "ready CSR frames", "threads": 1, "median": 0.008,
         "min": 0.008, "max": 0.009, "times_the_engine": 6.4},
        {"name": "eventsim", "given": "raw events", "threads": 1, "median": 0.00125,
         "min": 0.001, "max": 0.002, "times_the_engine": 1.0},
    ],
}  # fmt: skip
CONVOLUTION = {
    "layer": "64-to-8-channel", "steps": 20, "break_even_activity": {"torch": 0.0317, "CSR": None},
    "cases": [
        {"activity": 0.005, "seconds": {"eventsim": [0.004, 0.001, 0.002]}, "sops_a_second": 2.5e9,
         "macs_a_second": 1e10, "ratio": {"torch": 8.0, "CSR": 0.5}},
    ],
}  # fmt: skip
DENSE = {
    "activity": 0.02, "steps": 100,
    "cases": [
        {"n": 128, "seconds": {"eventsim": [0.001]}, "sops_a_second": 2e9, "macs_a_second": 3e9,
         "ratio": {"torch": 1.25}},
    ],
}  # fmt: skip
CEILING = {
    "cases": [
        {"name": "mlp", "lists": 1000, "rows": 2500, "add_rows_sops_a_second": 3e9,
         "only_reading_weights_a_second": 4e9, "share": 0.75},
    ],
}  # fmt: skip
LATENCY = {
    "silence_us": 10_000_000, "silence_seconds": [0.001, 0.003], "run_command_seconds": [0.5],
    "help_command_seconds": [0.25], "events": 1234, "packet_events": 1000,
    "event_median_seconds": [1.5e-6, 1e-6, 2e-6], "event_p99_seconds": [4e-6],
    "packets_events_a_second": [2e6], "one_packet_events_a_second": [1e6, 3e6],
}  # fmt: skip


@pytest.mark.parametrize(
    ("workload", "result", "rows", "sentences"),
    [
        ("mlp", MLP, [
            ["torch CSR", "2.4", "0 of 4,321, 1 of 50", "rounding"],
            ["eventsim", "raw events", "1", "1.250", "1.000 - 2.000", "1.00"],
            ["torch CSR", "ready CSR frames", "1", "8.000", "8.000 - 9.000", "6.40"],
            ["torch CSR", "ready CSR frames", "2", "4.000", "3.000 - 5.000", "4.00"],
        ], [
            "512FC-10; 300 timesteps of 1 ms; layers fire at 1.25%, 30.00%",
            "norse is left out: not installed",
        ]),
        ("layer-conv", CONVOLUTION, [["0.5%", "2.000", "2.50e+09", "1.00e+10", "8.00", "0.50"]], [
            "break-even with torch: at 3.2% activity",
            "break-even with CSR: not within these activities",
        ]),
        ("layer-dense", DENSE, [["128", "1.000", "2.00e+09", "3.00e+09", "1.25"]], []),
        ("ceiling", CEILING, [["mlp", "1,000", "2.5", "3.00e+09", "4.00e+09", "75.0%"]], []),
        ("latency", LATENCY, [
            ["an empty recording of 10 s", "2.000", "1.000 - 3.000"],
            ["eventsim run on one recording, from the shell, not the first time", "500.000",
             "500.000 - 500.000"],
            ["eventsim --help", "250.000", "250.000 - 250.000"],
            ["one by one, us an event, median", "1.50", "1.00 - 2.00"],
            ["one by one, us an event, 99th percentile", "4.00", "4.00 - 4.00"],
            ["in packets of 1,000, events a second", "2,000,000", "2,000,000 - 2,000,000"],
            ["in one packet, events a second", "2,000,000", "1,000,000 - 3,000,000"],
        ], []),
    ],
    ids=["mlp", "layer-conv", "layer-dense", "ceiling", "latency"],
)  # fmt: skip
def test_tables_hold_what_was_measured(
    workload: str, result: Any, rows: list[list[str]], sentences: list[str]
) -> None:
    printed: Any = Printed()
    machine = {"processor": "a chip", "cores": 2, "versions": {"eventsim": "0.1"}}
    print_workload(workload, result, machine, printed)
    assert printed.rows == rows
    head = f"\n[bold]{workload}[/]  on a chip, 2 cores; eventsim 0.1"
    assert printed.sentences == [head, *sentences]
