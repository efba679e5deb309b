"""The tables that `eventsim bench` prints, one function a kind of workload."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean, median
from typing import Any

from rich.console import Console
from rich.table import Table

from ..report import new_table
from .machine import machine_line
from .timing import ENGINE

# name, what it is, how a value of it is written
AXES = (
    ("length", "recording length", "{:,} events"),
    ("size", "network size, n-n-n", "n = {}"),
    ("batch", "batch, 512-512-512", "batch of {}"),
)


def print_workload(
    name: str, result: dict[str, Any], machine: dict[str, Any], console: Console
) -> None:
    """Print what a workload gave; the head names the machine."""
    console.print(f"\n[bold]{name}[/]  on {machine_line(machine)}", highlight=False)
    TABLES.get(name, _contest)(result, console)  # a network of one's own has no name


def _contest(result: dict[str, Any], console: Console) -> None:
    rates = ", ".join(f"{rate:.2%}" for rate in result["firing_rates"])
    console.print(
        f"{result['description']}; {result['steps']} timesteps of {result['dt_us'] / 1000:g} ms; "
        f"layers fire at {rates}",
        highlight=False,
    )
    console.print(agreement_table(result))
    for name, reason in result["left_out"].items():
        console.print(f"{name} is left out: {reason}", highlight=False, markup=False)
    console.print(timing_table(result))


def agreement_table(result: dict[str, Any]) -> Table:
    """Return how each peer's spikes compare with the engine's."""
    table = new_table(
        "Spikes beside the engine's",
        ["peer", "version", "differing, layer by layer", "verdict"],
        [],
    )
    for row in result["agreement"]:
        pairs = zip(row["differing"], row["engine_spikes"], strict=True)
        counts = ", ".join(f"{few:,} of {all_:,}" for few, all_ in pairs)
        table.add_row(row["peer"], row["version"], counts, row["verdict"])
    return table


def timing_table(result: dict[str, Any]) -> Table:
    """Return the times of all contestants; the ratio is to the engine on as many threads."""
    table = new_table(
        f"{result['samples']} samples, {result['events_a_sample']:,.0f} events and "
        f"{result['sops_a_sample']:,.0f} SOPs each "
        f"({result['dense_macs_a_sample']:,.0f} dense MACs)",
        ["", "timed from"],
        ["threads", "ms a sample (median)", "min - max", "times eventsim's"],
    )
    for row in sorted(result["timings"], key=lambda row: (row["threads"], row["median"])):
        table.add_row(
            row["name"],
            row["given"],
            str(row["threads"]),
            _ms(row["median"]),
            f"{_ms(row['min'])} - {_ms(row['max'])}",
            f"{row['times_the_engine']:.2f}",
            style="bold" if row["name"].startswith(ENGINE) else "",
        )
    return table


def _layer(result: dict[str, Any], console: Console) -> None:
    key = "n" if "n" in result["cases"][0] else "activity"
    what = result.get("layer", f"n to n at {result.get('activity', 0):.0%} input activity")
    rivals = list(result["cases"][0]["ratio"])
    table = new_table(
        f"{what}, {result['steps']} timesteps, one thread; "
        f"the engine from ready spikes, torch only the product of ready frames",
        [],
        [
            "n" if key == "n" else "input activity",
            "ms",
            "engine SOP/s",
            "torch MAC/s",
            *(f"{name}, times eventsim's" for name in rivals),
        ],
    )
    for case in result["cases"]:
        table.add_row(
            f"{case['n']}" if key == "n" else f"{case['activity']:.1%}",
            _ms(median(case["seconds"]["eventsim"])),
            f"{case['sops_a_second']:.2e}",
            f"{case['macs_a_second']:.2e}",
            *(f"{case['ratio'][name]:.2f}" for name in rivals),
        )
    console.print(table)
    for name, activity in result.get("break_even_activity", {}).items():
        where = "not within these activities" if activity is None else f"at {activity:.1%} activity"
        console.print(f"break-even with {name}: {where}", highlight=False)


def _growth(result: dict[str, Any], console: Console) -> None:
    _operations(result["operations"], console)
    for name, what, form in AXES:
        console.print(axis_table(result[name], f"Time against {what}", form))
        for point in result[name]["points"]:
            for peer, verdict in point["verdicts"].items():
                if verdict != "equal":
                    at = f"spikes of {peer} at {point['x']:,}: {verdict}"
                    console.print(at, highlight=False, markup=False)


def _operations(result: dict[str, Any], console: Console) -> None:
    table = new_table(
        f"n-n-n, {result['steps']} timesteps, one thread, from raw events",
        [],
        ["n", "rate", "measured rates", "SOPs a sample", "ms a sample", "ns a SOP"],
    )
    for point in result["points"]:
        table.add_row(
            f"{point['n']}",
            f"{point['rate']:.1%}",
            ", ".join(f"{rate:.1%}" for rate in point["measured_rates"]),
            f"{point['sops']:,}",
            _ms(point["seconds"]),
            f"{1e9 * point['seconds'] / max(1, point['sops']):.3f}",
        )
    console.print(table)
    console.print(
        f"time = {1e3 * result['a_seconds']:.4f} ms + {1e9 * result['b_seconds_a_sop']:.4f} ns x "
        f"SOPs, R² = {result['r_squared']:.5f} (least squares, {len(result['points'])} points)",
        highlight=False,
    )


def axis_table(axis: dict[str, Any], title: str, form: str) -> Table:
    """Return the times of everybody over one thing, and the slopes in log-log at the end."""
    names = list(axis["points"][0]["seconds"])
    head = f"{title}, one thread; the engine from raw events, torch from ready frames"
    table = new_table(head, [""], [f"ms, {name}" for name in names])
    for point in axis["points"]:
        cells = (_ms(median(s)) if (s := point["seconds"].get(n)) else "-" for n in names)
        table.add_row(form.format(point["x"]), *cells)
    table.add_section()
    for key, words, digits in (
        ("slope", "slope in log-log", 3),
        ("r_squared", "R² of that", 4),
        ("last_slope", "slope between the last two", 3),
    ):
        slopes = axis["slopes"]
        cells = (f"{slopes[n][key]:.{digits}f}" if n in slopes else "-" for n in names)
        table.add_row(words, *cells)
    return table


def _ceiling(result: dict[str, Any], console: Console) -> None:
    table = new_table(
        "Adding rows beside only reading them, one thread",
        ["rows"],
        ["lists", "rows a list", "add_rows, SOP/s", "only reading, weights/s", "share"],
    )
    for case in result["cases"]:
        table.add_row(
            case["name"],
            f"{case['lists']:,}",
            f"{case['rows'] / case['lists']:.1f}",
            f"{case['add_rows_sops_a_second']:.2e}",
            f"{case['only_reading_weights_a_second']:.2e}",
            f"{case['share']:.1%}",
        )
    console.print(table)


def _latency(result: dict[str, Any], console: Console) -> None:
    table = new_table("Silence and start", ["what"], ["ms (median)", "min - max"])
    for what, key in (
        (f"an empty recording of {result['silence_us'] / 1e6:g} s", "silence_seconds"),
        (
            "eventsim run on one recording, from the shell, not the first time",
            "run_command_seconds",
        ),
        ("eventsim --help", "help_command_seconds"),
    ):
        seconds = result[key]
        table.add_row(what, _ms(median(seconds)), f"{_ms(min(seconds))} - {_ms(max(seconds))}")
    console.print(table)
    table = new_table(
        f"{result['events']:,} events in asynchronous time, state kept",
        ["what"],
        ["median of rounds", "min - max"],
    )
    for what, key in (("median", "event_median_seconds"), ("99th percentile", "event_p99_seconds")):
        us = [1e6 * seconds for seconds in result[key]]
        table.add_row(f"one by one, us an event, {what}", *_spread(us, "{:.2f}"))
    for what, key in (
        (f"in packets of {result['packet_events']:,}", "packets_events_a_second"),
        ("in one packet", "one_packet_events_a_second"),
    ):
        table.add_row(f"{what}, events a second", *_spread(result[key], "{:,.0f}"))
    console.print(table)


def _training(result: dict[str, Any], console: Console) -> None:
    for case in result["cases"]:
        rates = ", ".join(f"{rate:.2%}" for rate in case["firing_rates"])
        table = new_table(
            f"Training steps of {case['structure']} on {case['data']}, {case['steps']} timesteps "
            f"of {case['dt_us'] / 1000:g} ms, batches of {case['batch']}; layers fire at {rates}",
            [""],
            ["threads", "ms a sample (median)", "min - max", "times eventsim's"],
        )
        for row in sorted(case["timings"], key=lambda row: (row["threads"], row["median"])):
            table.add_row(
                row["name"],
                str(row["threads"]),
                _ms(row["median"]),
                f"{_ms(row['min'])} - {_ms(row['max'])}",
                f"{row['times_the_engine']:.2f}",
                style="bold" if row["name"] == ENGINE else "",
            )
        console.print(table)
        for kernels, memory in case["memory_bytes"].items():
            words = f"memory of a step on {kernels} kernels: {memory / 1e6:.1f} MB"
            console.print(words, highlight=False)


def _spread(values: list[float], form: str) -> tuple[str, str]:
    return form.format(median(values)), f"{form} - {form}".format(min(values), max(values))


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3f}"


def _counts(result: dict[str, Any], console: Console) -> None:
    readings: dict[str, int] = {"the same": 0}
    for network in dict.fromkeys(row["network"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["network"] == network]
        columns = ["eventsim", *rows[0]["others"], "input rate x dense", "dense MACs"]
        table = new_table(f"Synaptic operations, {network}", ["layer"], columns)
        for row in rows:
            found = [(one["count"], one["reading"]) for one in row["others"].values()]
            marked = [
                f"{count:,}" + (f" ({number})" if number else "")
                for count, reading in found
                for number in [readings.setdefault(reading, len(readings))]
            ]
            table.add_row(
                row["layer"], f"{row['eventsim']['count']:,}", *marked,
                f"{row['input_rate_x_dense']:,}", f"{row['dense_macs']:,}",
            )  # fmt: skip
        console.print(table)
    for reading, number in readings.items():
        if number:
            console.print(f"({number}) {reading}", highlight=False)
    for name in result["left_out"]:
        console.print(f"{name} is left out: it is not installed", highlight=False)


def _budgets(result: dict[str, Any], console: Console) -> None:
    for case in result["cases"]:
        table = new_table(
            f"{_case(case)}: means over seeds (least - most); SOPs a sample, of the test set",
            ["SOPs behind the first layer"],
            ["validation, %", "test, %", "SOPs behind", "of free, %", "SOPs in all", "of free, %",
             "within"],
        )  # fmt: skip
        free = [run for run in case["runs"] if run["share"] is None]
        behind_free = mean(sum(run["test_sops"][1:]) for run in free)
        all_free = mean(sum(run["test_sops"]) for run in free)
        for share in dict.fromkeys(run["share"] for run in case["runs"]):
            runs = [run for run in case["runs"] if run["share"] == share]
            behind = mean(sum(run["test_sops"][1:]) for run in runs)
            of_all = mean(sum(run["test_sops"]) for run in runs)
            table.add_row(
                "free" if share is None else f"at most {share:.0%} of free",
                _percent([run["validation_accuracy"] for run in runs]),
                _percent([run["test_accuracy"] for run in runs]),
                f"{behind:,.0f}", f"{100 * behind / max(behind_free, 1):.1f}",
                f"{of_all:,.0f}", f"{100 * of_all / all_free:.1f}",
                f"{sum(run['within'] for run in runs)} of {len(runs)}",
            )  # fmt: skip
        console.print(table)


def _int8(result: dict[str, Any], console: Console) -> None:
    for case in result["cases"]:
        table = new_table(
            f"{_case(case)}: means over seeds (least - most)",
            ["weights"],
            ["test, %", "test loss", "predictions changed", "spikes moved, %"],
        )
        exact = [run for run in case["runs"] if run["trained_for"] == "float32"]
        narrow = [run for run in case["runs"] if run["trained_for"] == "int8"]
        changed = sum(run["predictions_changed"] for run in exact)
        rows = (
            ("float32", exact, "", "-", "-"),
            ("float32, rounded to int8", exact, "_int8", f"{changed}",
             f"{100 * mean(run['spikes_moved'] for run in exact):.2f}"),
            ("trained for int8", narrow, "_int8", "-", "-"),
        )  # fmt: skip
        for name, runs, ending, predictions, spikes in rows:
            table.add_row(
                name, _percent([run[f"test_accuracy{ending}"] for run in runs]),
                f"{mean(run[f'test_loss{ending}'] for run in runs):.5f}", predictions, spikes,
            )  # fmt: skip
        console.print(table)


def _case(case: dict[str, Any]) -> str:
    return (
        f"{case['structure']} on {case['data']}, {case['steps']} timesteps of "
        f"{case['dt_us'] / 1000:g} ms, {case['epochs']} epochs"
    )


def _percent(values: list[float]) -> str:
    return f"{100 * mean(values):.1f} ({100 * min(values):.1f} - {100 * max(values):.1f})"


def _imports(result: dict[str, Any], console: Console) -> None:
    table = new_table(
        f"{result['recordings']} recordings, {result['steps']} timesteps of "
        f"{result['dt_us'] / 1000:g} ms; trained on {result['trained']} of them",
        ["library", "neurons", "network"],
        [
            f"right of {result['tested']}", "spikes", "differing", "of which first",
            "farthest from threshold",
        ],
    )  # fmt: skip
    for row in result["rows"]:
        numbers = (f"{row[name]:,}" for name in ("right", "spikes", "differing", "origins"))
        distance = f"{row['farthest']:.1e}" if row["origins"] else "-"
        table.add_row(row["library"], row["neurons"], row["network"], *numbers, distance)
    console.print(table)


TABLES: dict[str, Callable[[dict[str, Any], Console], None]] = {
    "mlp": _contest,
    "conv": _contest,
    "gesture": _contest,
    "graded": _contest,
    "layer-conv": _layer,
    "layer-dense": _layer,
    "growth": _growth,
    "ceiling": _ceiling,
    "latency": _latency,
    "counts": _counts,
    "imports": _imports,
    "training": _training,
    "budgets": _budgets,
    "int8": _int8,
}
