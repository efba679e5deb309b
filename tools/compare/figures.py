"""The plots of a report, from its tables; each function returns a `Plot`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from .drawing import COLOURS, figure_of, label_of, plot_of, style_of
from .parts import Plot
from .plan import COMBINATIONS, Point
from .summary import wilson

Row = dict[str, Any]


def _of(rows: Sequence[Row], combination: tuple[str, str], points: Sequence[Point]) -> list[Row]:
    """Return the rows of a model and loss at some grid points, in their order."""
    by_point = {
        (row["dt_us"], row["steps"]): row
        for row in rows
        if (row["model"], row["loss"]) == combination
    }
    return [by_point[point] for point in points]


def against_dt(
    name: str,
    rows: Sequence[Row],
    points: Sequence[Point],
    panels: Sequence[tuple[str, Callable[[Row], Sequence[float] | None], bool]],
) -> Plot:
    """Draw values of all models against the length of a timestep, a panel for each.

    panels: what is shown, the values of a row, one a seed (None: not of this model), and whether
    on a logarithmic axis. The mean is drawn, and a band from the lowest to the highest seed.
    """
    with figure_of(4.6 * len(panels), 3.6) as figure:
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        milliseconds = [point.dt_us / 1000 for point in points]
        for axes, (title, value, logarithmic) in zip(all_axes, panels, strict=True):
            for number, combination in enumerate(COMBINATIONS):
                chosen = _of(rows, combination, points)
                values = [found for row in chosen if (found := value(row)) is not None]
                if not values:
                    continue
                places = [ms * 1.015 ** (number - 2) for ms in milliseconds]  # side by side
                axes.plot(places, list(map(statistics.fmean, values)), **style_of(chosen[0]))
                low, high = list(map(min, values)), list(map(max, values))
                axes.fill_between(places, low, high, alpha=0.12, color=COLOURS[combination], lw=0)
                if title.startswith("accuracy"):
                    _intervals(axes, places, chosen)
            axes.set(ylabel=title, xlabel="timestep (ms)", xscale="log")
            axes.set_xticks(milliseconds, [f"{ms:g}" for ms in milliseconds])
            axes.minorticks_off()
            if logarithmic:
                axes.set_yscale("log")
        all_axes[0].legend(fontsize=8)
        return plot_of(figure, name)


def _intervals(axes: Any, places: Sequence[float], rows: Sequence[Row]) -> None:
    """Draw Wilson's interval of each row's accuracy."""
    for place, row in zip(places, rows, strict=True):
        colour = COLOURS[row["model"], row["loss"]]
        axes.plot([place, place], row["wilson_95"], color=colour, lw=1, alpha=0.6, marker="_")


def contrast_plot(contrasts: Sequence[Row], rows: Sequence[Row], points: Sequence[Point]) -> Plot:
    """Draw temporal contrast and input activity beside accuracy, against the timestep."""
    by_point = {(row["dt_us"], row["steps"]): row for row in contrasts}
    with figure_of(9.2, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        milliseconds = [point.dt_us / 1000 for point in points]
        for name, mark in (("contrast", "o-"), ("activity", "s--")):
            values = [by_point[point][name] for point in points]
            left.plot(milliseconds, values, mark, ms=4, color="#8a5fbf", label=name)
        left.set(ylabel="share", xlabel="timestep (ms)", xscale="log", ylim=(0, None))
        left.set_title("slices of the input")
        left.legend(fontsize=8)
        for combination in COMBINATIONS:
            chosen = _of(rows, combination, points)
            values = [by_point[point]["contrast"] for point in points]
            style = {**style_of(chosen[0]), "ls": "none"}
            right.plot(values, [row["accuracy"] for row in chosen], **style)
            _intervals(right, values, chosen)
        right.set(ylabel="accuracy (bars: Wilson 95 %)", xlabel="temporal contrast")
        right.legend(fontsize=8)
        left.set_xticks(milliseconds, [f"{ms:g}" for ms in milliseconds])
        left.minorticks_off()
        return plot_of(figure, "contrast")


def matrices(generalisation: Sequence[Row], points: Sequence[Point], samples: int) -> Plot:
    """Draw accuracies trained at one grid point (rows) and tested at another (columns).

    Below each stands Wilson's interval for it on so many `samples`.
    """
    names = [f"{point.dt_us / 1000:g} x {point.steps}" for point in points]
    side = 1.4 + 0.62 * len(points)
    with figure_of(3 * side, 2 * side) as figure:
        for place, entry in enumerate(generalisation):
            axes = figure.add_subplot(2, 3, place + 1)
            axes.imshow(entry["matrix"], vmin=0, vmax=1, cmap="viridis")
            axes.set_title(label_of(entry), fontsize=9)
            ticks = range(len(points))
            axes.set_xticks(ticks, names, rotation=90, fontsize=7)
            axes.set_yticks(ticks, names, fontsize=7)
            axes.grid(visible=False)
            for i, line in enumerate(entry["matrix"]):
                for j, accuracy in enumerate(line):
                    colour = "white" if accuracy < 0.6 else "black"
                    low, high = wilson(accuracy * samples, samples)
                    text = f"{100 * accuracy:.0f}\n{100 * low:.0f}-{100 * high:.0f}"
                    axes.text(j, i, text, ha="center", va="center", fontsize=6, color=colour)
        figure.supxlabel("tested at (ms x timesteps)", fontsize=9)
        figure.supylabel("trained at (ms x timesteps)", fontsize=9)
        figure.suptitle("accuracy (%), and its Wilson interval of 95 %", fontsize=9)
        return plot_of(figure, "generalisation")


def curves(cells: Sequence[Row], point: Point) -> Plot:
    """Draw loss and accuracy of training and validation against the epoch, a line a seed."""
    panels = (
        ("loss", "training loss"), ("validation_loss", "validation loss"),
        ("accuracy", "training accuracy"), ("validation_accuracy", "validation accuracy"),
    )  # fmt: skip
    with figure_of(9.2, 6.6) as figure:
        grid = figure.subplots(2, 2, sharex=True, sharey="row")
        for cell in cells:
            if (cell["dt_us"], cell["steps"]) != point or cell["same_structure"]:
                continue
            history = cell["training"]["history"]
            style = style_of(cell)
            style["label"] = style["label"] if cell["seed"] == 0 else None
            epochs = [epoch["epoch"] for epoch in history]
            for axes, (name, title) in zip(grid.flat, panels, strict=True):
                values = [epoch[name] for epoch in history]
                axes.plot(epochs, values, lw=1.2, markevery=max(1, len(epochs) // 6), **style)
                axes.set(ylabel=title, yscale="log" if "loss" in name else "linear")
            _kept_epoch(grid[1, 1], cell)
        for axes in grid[1]:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        grid[0, 0].legend(fontsize=8)
        return plot_of(figure, "training")


def _kept_epoch(axes: Any, cell: Row) -> None:
    """Mark the epoch that is kept, with Wilson's interval on the validation recordings."""
    training = cell["training"]
    count, accuracy = training["validation_recordings"], training["validation_accuracy"]
    _intervals(
        axes, [training["best_epoch"]], [cell | {"wilson_95": wilson(accuracy * count, count)}]
    )


ELEMENTWISE = (
    "updates", "decays", "compares", "resets", "sigmoids", "tanhs", "multiplies", "adds",
    "pool_adds", "pool_compares",
)  # fmt: skip
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "----", "++++", "||||", "oo")
PARTS = (
    ("ACs", ("acs",), "#0f7fc1"),
    ("MACs", ("macs",), "#d9822b"),
    ("recurrent MACs", ("recurrent_macs",), "#b3402a"),
    ("elementwise and pools", ELEMENTWISE, "#8a8a8a"),
    ("dense MACs", ("dense_macs", "recurrent_dense_macs"), "#c9c9c9"),
)


def computation(rows: Sequence[Row]) -> Plot:
    """Draw operations by kind beside the dense ones, and energy by each model that has one."""
    names = rows[0]["total"]["energy_nj"]
    energies = [(name, (name,), f"C{number % 10}") for number, name in enumerate(names)]
    rows = [
        {**row, "total": row["total"] | {k: v or 0 for k, v in row["total"]["energy_nj"].items()}}
        for row in rows
    ]
    with figure_of(11, 1.4 + 0.75 * len(rows)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        titles = ("operations a sample", "energy a sample (nJ, modelled)")
        for axes, title, parts in zip(panels, titles, (PARTS, energies), strict=True):
            _grouped_bars(axes, rows, parts)
            axes.set(xlabel=title, xscale="log")
            axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.12))
        panels[0].set_yticks(range(len(rows)), [label_of(row) for row in rows])
        panels[0].invert_yaxis()
        return plot_of(figure, "computation")


def _grouped_bars(
    axes: Any, rows: Sequence[Row], parts: Sequence[tuple[str, Sequence[str], str]]
) -> None:
    """Draw a group of bars for each row, one for each part; a part of 0 is left out."""
    height = 0.8 / len(parts)
    least = float("inf")
    for number, (name, counts, colour) in enumerate(parts):
        values = [sum(row["total"].get(count, 0) for count in counts) for row in rows]
        places = [place - 0.4 + (number + 0.5) * height for place in range(len(rows))]
        hatch = HATCHES[number % len(HATCHES)]  # told apart without colour, too
        axes.barh(places, values, height, color=colour, hatch=hatch, label=name, lw=0)
        least = min(least, *(value for value in values if value > 0), least)
    axes.set_xlim(10 ** math.floor(math.log10(least)), None)
