"""`eventsim bench --workload growth`: what is timed over what, and the slopes of it."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run_command
from stand_ins import Clock, Printed

import eventsim as es
from eventsim_tools.bench import growth, timing, workloads
from eventsim_tools.bench.plots import draw_all
from eventsim_tools.bench.tables import print_workload

MACHINE = {"processor": "a chip", "cores": 2, "versions": {"eventsim": "0.1"}}
SMALL: dict[str, Any] = {"rates": (0.05, 0.3), "sizes": (16, 64), "batches": (1, 3), "steps": 10}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run be timed once, and no two take the same time."""
    monkeypatch.setattr(timing, "time", Clock(by_looks=True))


@pytest.fixture
def short_packets(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let packets have 1000 events and recordings begin with as many, drawn again."""
    for name, value in {"PACKET": 1000, "PACKET_US": 10_000, "SHORTEST": 1000}.items():
        monkeypatch.setattr(growth, name, value)
    growth._draw_packet.cache_clear()
    yield
    growth._draw_packet.cache_clear()
    torch.set_num_threads(1)


def test_the_fit_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1e6, 30)
    y = 2e-4 + 3e-9 * x + rng.normal(0, 1e-4, 30)
    fit = growth.fit_line(list(x), list(y))
    centred = x - x.mean()
    b = (centred @ y) / (centred @ centred)
    assert (fit.a, fit.b) == pytest.approx((y.mean() - b * x.mean(), b))
    assert fit.r_squared == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)


def test_a_power_has_its_exponent_as_slope() -> None:
    x = [10, 100, 1000, 10_000]
    exact = growth.slopes_of(x, [3 * n**1.5 for n in x])
    assert exact == pytest.approx({"slope": 1.5, "r_squared": 1, "last_slope": 1.5})
    bent = growth.slopes_of(x, [100 + n for n in x])  # a constant cost bends it at the beginning
    assert 0.5 < bent["slope"] < bent["last_slope"] < 1
    assert bent["last_slope"] == pytest.approx(np.log10(10_100 / 1100))


@pytest.mark.usefixtures("short_packets")
def test_packets_go_on_where_the_one_before_ended() -> None:
    several = list(growth.packets(2500))
    assert [len(packet) for packet in several] == [1000, 1000, 500]
    for number, packet in enumerate(several):
        np.testing.assert_array_equal(packet["t"] - 10_000 * number, several[0]["t"][: len(packet)])
        for name in "xy":
            np.testing.assert_array_equal(packet[name], several[0][name][: len(packet)])
        assert packet["t"].max() < 10_000 * (number + 1)
    first = next(growth.packets(10**15))  # one at a time, however many
    np.testing.assert_array_equal(first, several[0])
    steps, counts = np.unique(several[0]["t"] // growth.DT_US, return_counts=True)
    assert (len(steps), counts.mean()) == (10, growth.EVENTS_A_STEP)


@pytest.mark.usefixtures("looks", "short_packets")
def test_growth_times_what_it_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(growth, "MOST_FRAME_BYTES", 100 * 2312 * 4)  # of 10^4 events
    seen: list[int] = []
    simulate = es.simulate

    def spy(*arguments: Any, **more: Any) -> es.Result:
        result = simulate(*arguments, **more)
        seen.append(result.events)
        return result

    monkeypatch.setattr(es, "simulate", spy)
    result = growth.measure_growth(1, 10**5, **SMALL)
    assert {1000, 10**4, 10**5} <= set(seen)
    lengths, sizes, batches = (result[name]["points"] for name in ("length", "size", "batch"))
    assert [point["x"] for point in lengths] == [1000, 10**4, 10**5]
    assert [point["x"] for point in sizes] == [16, 64]
    assert [point["x"] for point in batches] == [1, 3]
    torches = {"torch CSR": "equal", "torch dense": "equal"}
    assert [point["verdicts"] for point in (*lengths, *sizes, *batches)] == [
        torches, torches, {}, *[torches] * 4
    ]  # fmt: skip
    assert list(lengths[2]["seconds"]) == ["eventsim", "packets"]
    for name in ("length", "size", "batch"):
        check_slopes(result[name])
    draw_all({"growth": result}, MACHINE, tmp_path)
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def check_slopes(axis: dict[str, Any]) -> None:
    """They are those of the medians, over the points that somebody is in."""
    for name in axis["points"][0]["seconds"]:
        chosen = [point for point in axis["points"] if name in point["seconds"]]
        x, y = zip(*((p["x"], median(p["seconds"][name])) for p in chosen), strict=True)
        assert axis["slopes"][name] == growth.slopes_of(x, y)


@pytest.mark.usefixtures("looks", "short_packets")
def test_operations_are_counted_and_timed() -> None:
    result = growth.measure_growth(1, 10**4, **SMALL)["operations"]
    points = result["points"]
    assert [(p["n"], p["rate"]) for p in points] == [(16, 0.05), (16, 0.3), (64, 0.05), (64, 0.3)]
    assert points[-1]["sops"] > 4 * points[0]["sops"] > 0
    assert points[-1]["measured_rates"] == pytest.approx([0.3, 0.3], rel=0.4)
    assert [p["seconds"] for p in points] == pytest.approx([0.024, 0.028, 0.032, 0.036])
    fit = growth.fit_line([p["sops"] for p in points], [p["seconds"] for p in points])
    found = (result["a_seconds"], result["b_seconds_a_sop"], result["r_squared"])
    assert found == (fit.a, fit.b, fit.r_squared)


def test_the_command_passes_on_the_longest_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def measure(repeats: int, longest: int) -> dict[str, Any]:
        asked.append((repeats, longest))
        return {}

    monkeypatch.setattr(workloads, "measure_growth", measure)
    for more in ([], ["--longest", "1000000"]):
        assert run_command("bench", "--workload", "growth", "--json", "-", *more) == 0
    assert asked == [(7, 10**8), (7, 10**6)]


OPERATIONS = {
    "steps": 100, "a_seconds": 2e-4, "b_seconds_a_sop": 3e-9, "r_squared": 0.9876543,
    "points": [
        {"n": 32, "rate": 0.001, "measured_rates": [0.001, 0.0], "sops": 0, "seconds": 0.0001},
        {"n": 512, "rate": 0.1, "measured_rates": [0.1, 0.098], "sops": 4000, "seconds": 0.002},
    ],
}  # fmt: skip
AXIS = {
    "points": [
        {"x": 10_000, "seconds": {"eventsim": [0.003, 0.001, 0.002], "torch dense": [0.5]},
         "verdicts": {"torch dense": "rounding"}},
        {"x": 1_000_000, "seconds": {"eventsim": [0.25]}, "verdicts": {}},
    ],
    "slopes": {"eventsim": {"slope": 1.0484, "r_squared": 0.99994, "last_slope": 1.0}},
}  # fmt: skip


def test_tables_hold_what_was_measured() -> None:
    printed: Any = Printed()
    result = {"operations": OPERATIONS, "length": AXIS, "size": AXIS, "batch": AXIS}
    print_workload("growth", result, MACHINE, printed)
    rows = [
        ["32", "0.1%", "0.1%, 0.0%", "0", "0.100", "100000.000"],
        ["512", "10.0%", "10.0%, 9.8%", "4,000", "2.000", "500.000"],
    ]
    for first, second in (
        ("10,000 events", "1,000,000 events"),
        ("n = 10000", "n = 1000000"),
        ("batch of 10000", "batch of 1000000"),
    ):
        rows += [
            [first, "2.000", "500.000"],
            [second, "250.000", "-"],
            ["slope in log-log", "1.048", "-"],
            ["R² of that", "0.9999", "-"],
            ["slope between the last two", "1.000", "-"],
        ]
    assert printed.rows == rows
    assert printed.sentences[1:] == [
        "time = 0.2000 ms + 3.0000 ns x SOPs, R² = 0.98765 (least squares, 2 points)",
        *["spikes of torch dense at 10,000: rounding"] * 3,
    ]
