"""The tables of a report, and the self-contained HTML page that its parts make.

In: the document of results.json. The page loads nothing from elsewhere and reads well on paper, on
a phone, light and dark.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from .drawing import label_of
from .parts import Part, Table, Text
from .plan import Point
from .summary import WIDTHS, width_of

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]


def table(name: str, caption: str, columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """Return a table; the first column is text, the others are numbers."""
    head = [title for title, _ in columns]
    return Table(name, caption, head, [[value(row) for _, value in columns] for row in rows])


def number(value: float) -> str:
    """Format a count: whole from 100 on, with a thousands separator."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def ratio(value: float, other: float) -> str:
    """Format a quotient, a dash where there is none."""
    return f"{value / other:.2f}" if other else "-"


def percent(value: float) -> str:
    """Format a share."""
    return f"{100 * value:.2f} %"


def _grid(row: Row) -> str:
    return Point(row["dt_us"], row["steps"]).words


def _total(*names: str) -> Callable[[Row], str]:
    """Return what formats the sum of some counts of a model."""
    return lambda row: number(sum(row["total"].get(name, 0) for name in names))


def _spread(row: Row) -> str:
    low, high = min(row["accuracies"]), max(row["accuracies"])
    return f"{100 * low:.2f} - {100 * high:.2f}" if row["seeds"] > 1 else "-"


def _deviation(row: Row) -> str:
    if row["seeds"] < 2:
        return "-"
    return f"{100 * statistics.stdev(row['accuracies']):.2f}"


def _spread_of_sops(row: Row) -> str:
    if row["seeds"] < 2 or "reading" in row:
        return "-"
    return f"{number(min(row['sops']))} - {number(max(row['sops']))}"


MODEL: Column = ("model, loss", label_of)
ACCURACY: tuple[Column, ...] = (
    MODEL,
    ("timestep x number", _grid),
    ("parameters", lambda row: f"{row['parameters']:,}"),
    ("test accuracy, mean", lambda row: percent(row["accuracy"])),
    ("deviation of seeds, %", _deviation),
    ("lowest - highest seed, %", _spread),
    ("Wilson 95 %", lambda row: _wilson(row)),
    ("validation", lambda row: percent(row["validation_accuracy"])),
)
COMPUTATION: tuple[Column, ...] = (
    MODEL,
    ("events, of these merged", lambda row: events_of(row)),
    ("dense MACs", _total("dense_macs", "recurrent_dense_macs")),
    ("SOPs, lowest - highest seed", lambda row: _spread_of_sops(row)),
    ("ACs", _total("acs")),
    ("MACs", _total("macs")),
    ("recurrent MACs", _total("recurrent_macs")),
    ("pool additions and comparisons", _total("pool_adds", "pool_compares")),
    ("state updates", _total("updates")),
    ("tanh + sigmoid", _total("tanhs", "sigmoids")),
    ("weight bytes read", _total("weight_bytes_read")),
    ("state bytes read and written", _total("state_bytes_read", "state_bytes_written")),
)
SIZES: tuple[Column, ...] = (
    MODEL,
    ("structure", lambda row: row["structure"]),
    ("parameters", lambda row: f"{row['parameters']:,}"),
    ("weights, kB", lambda row: number(row["weight_bytes"] / 1000)),
    ("state, kB", lambda row: number(row["state_bytes"] / 1000)),
)
ON_EQUAL_TERMS: tuple[Column, ...] = (
    MODEL,
    ("structure", lambda row: row["structure"]),
    ("timestep x number", _grid),
    ("parameters", lambda row: f"{row['parameters']:,}"),
    ("test accuracy", lambda row: percent(row["accuracy"])),
    ("Wilson 95 %", lambda row: _wilson(row)),
    ("ACs", _total("acs")),
    ("MACs", _total("macs", "recurrent_macs")),
    ("energy, times the SNN's, all models", lambda row: sensitivity(row)),
)


def events_of(row: Row) -> str:
    """Format the events of a sample, and how many share a pixel, polarity and timestep."""
    return f"{number(row['events'])}, {number(row['events_merged'])}"


def sensitivity(row: Row) -> str:
    """Format the range of a model's energy as a multiple of the SNN's, over models and readings."""
    ends = row["energy_ratio_range"]
    return f"{ends[0]:.3g} - {ends[1]:.3g}" if ends else "-"


def _wilson(row: Row) -> str:
    return " - ".join(f"{100 * end:.1f}" for end in row["wilson_95"])


def readings(row: Row) -> list[Row]:
    """Return a row as executed, and behind it how an SNN reads where pools come first."""
    pooled = row.get("pools_first")
    if pooled is None:
        return [row]
    ranges = ("energy_ratio_range", "energy_ratio_range_at")
    other = {"total": pooled, "reading": "pools first", **{name: pooled[name] for name in ranges}}
    return [row, row | other]


def widths(row: Row) -> list[Row]:
    """Return a row at the width of its training, and behind it at the other."""
    own = width_of(row)
    (other,) = (width for width in WIDTHS if width != own)
    reading = ", ".join([*([row["reading"]] if "reading" in row else []), f"as {other}"])
    energy = {"energy_nj": row["total"]["energy_nj_at"][other]}
    ends = row["energy_ratio_range_at"][other]
    narrower = {"total": row["total"] | energy, "reading": reading, "energy_ratio_range": ends}
    return [row, row | narrower]


def rates_table(lines: Sequence[Row]) -> Table:
    """Return what each model found with each learning rate, and which it took."""
    rates = [tried["learning_rate"] for tried in lines[0]["tried"]]

    def found(place: int) -> Column:
        return f"{rates[place]:g}", lambda line: percent(
            line["tried"][place]["validation_accuracy"]
        )

    columns: tuple[Column, ...] = (
        MODEL,
        ("structure", lambda line: "the SNN's" if line["same_structure"] else "same parameters"),
        ("tried at", _grid),
        *(found(place) for place in range(len(rates))),
        ("taken", lambda line: f"{line['learning_rate']:g}"),
    )
    return table(
        "learning-rates",
        "Learning rates: validation accuracy of each with seed 0. The best one is that of all "
        "seeds of the model and loss at that grid point.",
        columns,
        lines,
    )


def energies_table(caption: str, rows: Sequence[Row], models: Sequence[Row]) -> Table:
    """Return the energy of each model of neurons by each model of energy, in nJ."""

    def nanojoules(name: str) -> Column:
        def format_it(row: Row) -> str:
            energy = row["total"]["energy_nj"][name]
            return "-" if energy is None else number(energy)

        return name, format_it

    columns = [nanojoules(model["name"]) for model in models]
    return table("energy", caption, (MODEL, *columns, ("times the SNN's", sensitivity)), rows)


def layers_table(rows: Sequence[Row]) -> Table:
    """Return the operations of each layer of each model."""
    lines = [{**layer, "of": label_of(row)} for row in rows for layer in row["layers"]]
    first = rows[0]

    def count(*names: str) -> Callable[[Row], str]:
        return lambda line: number(sum(line.get(name, 0) for name in names))

    columns: tuple[Column, ...] = (
        ("model, loss", lambda line: line["of"]),
        ("layer", lambda line: line["name"]),
        ("events in", count("input_events")),
        ("ACs", count("acs")),
        ("MACs", count("macs")),
        ("recurrent MACs", count("recurrent_macs")),
        ("state updates", count("updates")),
        ("dense MACs", count("dense_macs", "recurrent_dense_macs")),
    )
    return table(
        "layers",
        f"Per layer and sample, mean over test recordings and seeds; measured. A sample has "
        f"{number(first['events'])} events; {number(first['events_merged'])} are merged with "
        f"another of their pixel, polarity and timestep before the first layer, and the ANN's one "
        f"frame adds up all of a pixel and polarity.",
        columns,
        lines,
    )


def _pools_first(row: Row) -> str:
    found = row["pools_first"]
    names = ("acs", "macs", "pool_adds")
    return "-" if found is None else ", ".join(number(found[name]) for name in names)


def spiking_table(rows: Sequence[Row]) -> Table:
    """Return rates, and what the usual estimate would say, for the SNN at every grid point."""
    columns: tuple[Column, ...] = (
        ("timestep x number", _grid),
        ("firing rate", lambda row: percent(row["firing_rate"])),
        ("of each layer", lambda row: ", ".join(percent(rate) for rate in row["firing_rates"])),
        ("SOPs, measured", _total("sops")),
        ("pools first: ACs, MACs, additions", _pools_first),
        ("dense MACs", _total("dense_macs")),
        ("dense MACs x firing rate", lambda row: number(row["usual_estimate"])),
        ("measured / that", lambda row: ratio(row["total"]["sops"], row["usual_estimate"])),
        ("SOPs per synapse", lambda row: f"{row['spikes_per_synapse']:.2f}"),
    )
    return table(
        "spiking",
        "The SNN, per sample; measured. Behind average and sum pools the engine adds the rows of "
        "each spike; a machine that pools first, as the other models do, takes what stands beside "
        "it. The usual estimate multiplies dense operations by the firing rate of all neurons.",
        columns,
        rows,
    )


def page(title: str, sections: Sequence[tuple[str, Sequence[Part]]], foot: str) -> str:
    """Return the whole page; sections are headings and what stands under them."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    body = "".join(
        f"<h2>{escape(heading)}</h2>{''.join(part.html() for part in parts)}"
        for heading, parts in sections
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f'<body><h1>{escape(title)}</h1>{body}<p class="note">{escape(foot)}</p></body></html>\n'
    )


def paragraph(text: str, note: bool = False) -> Text:
    """Return a paragraph of plain text."""
    return Text(f"<p{' class=note' if note else ''}>{escape(text)}</p>")


def points(texts: Sequence[str]) -> Text:
    """Return a list of plain texts."""
    return Text(f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>")
