"""The pictures of `eventsim bench --plots DIR`, drawn with matplotlib from what JSON holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

from eventsim.colours import LIGHT

from .machine import machine_line
from .timing import ENGINE

# Not those of polarities: each is one of the contestants.
COLOURS = {"eventsim": LIGHT.executed, "torch CSR": LIGHT.curves[1], "torch dense": LIGHT.curves[0]}


def draw_all(results: dict[str, Any], machine: dict[str, Any], folder: Path) -> None:
    """Draw a picture of every workload that has one, <workload>.png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from eventsim.files import replacing

    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        if name not in results:
            continue
        # The object interface with its own canvas: no global state, no display needed.
        figure = Figure(figsize=(9, 5), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, results[name])
        words = machine_line(machine).split("; ")[0]
        figure.text(0.99, 0.005, words, ha="right", fontsize=7, color="#666666")
        with replacing(folder / f"{name}.png") as file:
            figure.savefig(file, dpi=120, format="png")


def _draw_contest(figure: Any, result: dict[str, Any]) -> None:
    """Draw bars of the peers, on a logarithmic scale."""
    axes = figure.add_subplot()
    rows = sorted(result["timings"], key=lambda row: (-row["threads"], -row["median"]))
    for place, row in enumerate(rows):
        milliseconds = 1e3 * row["median"]
        is_engine = row["name"].startswith(ENGINE)
        axes.barh(place, milliseconds, color=LIGHT.executed if is_engine else LIGHT.dense)
        spread = [[milliseconds - 1e3 * row["min"]], [1e3 * row["max"] - milliseconds]]
        axes.errorbar(milliseconds, place, xerr=spread, color="k", lw=1, capsize=2)
        text = f"  {milliseconds:.3g} ms ({row['times_the_engine']:.1f}x)"
        axes.text(1e3 * row["max"], place, text, va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 4)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8)
    words = "ms a sample: median, min and max (x: times eventsim's on as many threads)"
    axes.set_xlabel(words, loc="left")  # the machine stands on the right
    axes.set_title(result["description"], loc="left", fontsize=9)


def _label(row: dict[str, Any]) -> str:
    return f"{row['name']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"


def _draw_layer(figure: Any, result: dict[str, Any]) -> None:
    """Draw time against the firing rate of the input, and where the engine breaks even."""
    axes = figure.add_subplot()
    rates = [100 * case["activity"] for case in result["cases"]]
    for name, colour in (("eventsim", LIGHT.executed), ("torch", LIGHT.curves[0])):
        times = [1e3 * median(case["seconds"][name]) for case in result["cases"]]
        axes.loglog(rates, times, "o-", color=colour, label=name)
    activity = result["break_even_activity"]["torch"]
    if activity is not None:
        axes.axvline(100 * activity, color="k", ls="--", lw=1, label=f"break-even {activity:.1%}")
    axes.set_xlabel("firing rate of the input (% of cells and timesteps)")
    axes.set_ylabel(f"ms for {result['steps']} timesteps")
    axes.set_title(f"{result['layer']}, one thread", loc="left", fontsize=9)
    axes.legend()


def _draw_growth(figure: Any, result: dict[str, Any]) -> None:
    """Draw time against operations, recording length, network size and batch."""
    figure.set_size_inches(11, 8)
    (first, *others) = figure.subplots(2, 2).ravel()
    _draw_operations(first, result["operations"])
    labels = ("events in a recording", "n of a network n-n-n", "samples in a batch")
    for axes, name, label in zip(others, ("length", "size", "batch"), labels, strict=True):
        _draw_axis(axes, result[name])
        axes.set_xlabel(label)


def _draw_axis(axes: Any, axis: dict[str, Any]) -> None:
    """Draw everybody's times and slopes."""
    for name, slopes in axis["slopes"].items():
        chosen = [point for point in axis["points"] if name in point["seconds"]]
        times = [1e3 * median(point["seconds"][name]) for point in chosen]
        axes.loglog(
            [point["x"] for point in chosen], times, "o-", color=COLOURS.get(name, LIGHT.dense),
            label=f"{name}: slope {slopes['slope']:.2f}, at the end {slopes['last_slope']:.2f}",
        )  # fmt: skip
    axes.set_ylabel("ms, one thread")
    axes.legend(fontsize=8)


def _draw_operations(axes: Any, result: dict[str, Any]) -> None:
    """Draw time against SOPs, with the fitted line."""
    points = result["points"]
    for n in sorted({point["n"] for point in points}):
        chosen = [point for point in points if point["n"] == n]
        sops, times = [p["sops"] for p in chosen], [1e3 * p["seconds"] for p in chosen]
        axes.plot(sops, times, "o", ms=5, label=f"n = {n}")
    sops = sorted(point["sops"] for point in points if point["sops"])
    line = [1e3 * (result["a_seconds"] + result["b_seconds_a_sop"] * x) for x in sops]
    fit = f"a + b SOPs, R² = {result['r_squared']:.4f}"
    axes.plot(sops, line, "k-", lw=1, label=fit)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("synaptic operations in a sample")
    axes.set_ylabel("ms, one thread")
    title = f"a = {1e3 * result['a_seconds']:.3f} ms, b = {1e9 * result['b_seconds_a_sop']:.4f} ns"
    axes.set_title(title, loc="left", fontsize=9)
    axes.legend(fontsize=8)


def _draw_ceiling(figure: Any, result: dict[str, Any]) -> None:
    """Draw the share of the speed of only reading the weights."""
    axes = figure.add_subplot()
    cases = result["cases"]
    for place, case in enumerate(cases):
        axes.bar(place, 100 * case["share"], 0.6, color=LIGHT.executed)
        axes.text(place, 100 * case["share"], f"{case['share']:.0%}", ha="center", va="bottom")
    axes.axhline(100, color="k", ls="--", lw=1)
    axes.set_xticks(range(len(cases)), [case["name"].replace(", ", "\n") for case in cases])
    axes.set_ylabel("% of the speed of only reading the rows")
    axes.set_title("adding rows beside only reading them, one thread", loc="left", fontsize=9)


def _draw_budgets(figure: Any, result: dict[str, Any]) -> None:
    """Draw accuracy against the operations that training can change, a panel a case.

    Bars: Wilson's 95 % interval of the mean of the seeds, on as many recordings as one tests.
    """
    from ..compare.summary import wilson

    cases = result["cases"]
    for axes, case in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases, strict=True):
        points = []
        for share in dict.fromkeys(run["share"] for run in case["runs"]):
            runs = [run for run in case["runs"] if run["share"] == share]
            behind = [sum(run["test_sops"][1:]) for run in runs]
            accuracies = [100 * run["test_accuracy"] for run in runs]
            points.append((mean(behind), mean(accuracies)))
            samples = case["test_recordings"]
            interval = [100 * end for end in wilson(mean(accuracies) / 100 * samples, samples)]
            axes.plot(
                [points[-1][0]] * 2, interval, color=LIGHT.executed, lw=1, alpha=0.6, marker="_"
            )
            axes.plot(behind, accuracies, "o", ms=4, color=LIGHT.dense)
            words, place, side = "free", (8, -3), "left"
            if share is not None:
                words, place, side = f"{share:.0%}", (-5, 6), "right"
            axes.annotate(
                words, points[-1], textcoords="offset points", xytext=place, ha=side, fontsize=8
            )
        points.sort()
        axes.plot(*zip(*points, strict=True), "o-", color=LIGHT.executed)
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        rounds = [n * 10**power for power in range(10) for n in (1, 2, 5)]
        ticks = [n for n in rounds if low <= n <= high]
        axes.set_xticks(ticks, [f"{n:,}" for n in ticks], fontsize=8)
        axes.minorticks_off()
        axes.set_xlabel("SOPs a sample behind the first layer", fontsize=9, loc="left")
        axes.set_ylabel(
            f"accuracy on {case['test_recordings']} test recordings (%; bars: Wilson 95 %)",
            fontsize=9,
        )
        first = mean(run["test_sops"][0] for run in case["runs"])
        title = f"{case['structure']} on {case['data']}; first layer: {first:,.0f} SOPs in each"
        axes.set_title(title, loc="left", fontsize=9)
        axes.margins(x=0.12, y=0.2)
    figure.suptitle(
        "Trained within budgets, in shares of what the free network takes behind its first layer",
        fontsize=10,
    )


PICTURES: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "mlp": _draw_contest,
    "conv": _draw_contest,
    "gesture": _draw_contest,
    "graded": _draw_contest,
    "layer-conv": _draw_layer,
    "growth": _draw_growth,
    "ceiling": _draw_ceiling,
    "budgets": _draw_budgets,
}
