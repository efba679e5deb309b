"""The report: tables and plots of a comparison on one self-contained HTML page.

In: the document of results.json and the plots of `figures.py`. The page loads nothing from
elsewhere and reads well on paper, on a phone, light and dark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from .drawing import label_of
from .plan import Point

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]


def table(caption: str, columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return a table; the first column is text, the others are numbers."""
    head = "".join(f"<th>{escape(title)}</th>" for title, _ in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(value(row))}</td>" for _, value in columns) + "</tr>"
        for row in rows
    )
    return (
        f'<figure><figcaption>{escape(caption)}</figcaption><div class="wide"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></figure>"
    )


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


MODEL: Column = ("model, loss", label_of)
ACCURACY: tuple[Column, ...] = (
    MODEL,
    ("timestep x number", _grid),
    ("parameters", lambda row: f"{row['parameters']:,}"),
    ("test accuracy, mean", lambda row: percent(row["accuracy"])),
    ("lowest - highest seed, %", _spread),
    ("Wilson 95 %", lambda row: _wilson(row)),
    ("validation", lambda row: percent(row["validation_accuracy"])),
)
COMPUTATION: tuple[Column, ...] = (
    MODEL,
    ("dense MACs", _total("dense_macs", "recurrent_dense_macs")),
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
    ends = pooled["energy_ratio_range"]
    other = {"total": pooled, "energy_ratio_range": ends, "reading": "pools first"}
    return [row, row | other]


def rates_table(lines: Sequence[Row]) -> str:
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
        "Learning rates: validation accuracy of each with seed 0. The best one is that of all "
        "seeds of the model and loss at that grid point.",
        columns,
        lines,
    )


def energies_table(caption: str, rows: Sequence[Row], models: Sequence[Row]) -> str:
    """Return the energy of each model of neurons by each model of energy, in nJ."""

    def nanojoules(name: str) -> Column:
        def format_it(row: Row) -> str:
            energy = row["total"]["energy_nj"][name]
            return "-" if energy is None else number(energy)

        return name, format_it

    columns = [nanojoules(model["name"]) for model in models]
    return table(caption, (MODEL, *columns, ("times the SNN's", sensitivity)), rows)


def layers_table(rows: Sequence[Row]) -> str:
    """Return the operations of each layer of each model."""
    lines = [{**layer, "of": label_of(row)} for row in rows for layer in row["layers"]]

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
        "Per layer and sample, mean over test recordings and seeds; measured.",
        columns,
        lines,
    )


def _pools_first(row: Row) -> str:
    found = row["pools_first"]
    names = ("acs", "macs", "pool_adds")
    return "-" if found is None else ", ".join(number(found[name]) for name in names)


def spiking_table(rows: Sequence[Row]) -> str:
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
        "The SNN, per sample; measured. Behind average and sum pools the engine adds the rows of "
        "each spike; a machine that pools first, as the other models do, takes what stands beside "
        "it. The usual estimate multiplies dense operations by the firing rate of all neurons.",
        columns,
        rows,
    )


def page(title: str, sections: Sequence[tuple[str, str]], foot: str) -> str:
    """Return the whole page; sections are (heading, HTML)."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    body = "".join(f"<h2>{escape(heading)}</h2>{html}" for heading, html in sections)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f'<body><h1>{escape(title)}</h1>{body}<p class="note">{escape(foot)}</p></body></html>\n'
    )


def paragraph(text: str, note: bool = False) -> str:
    """Return a paragraph of plain text."""
    return f"<p{' class=note' if note else ''}>{escape(text)}</p>"


def plot(svg: str) -> str:
    """Return a plot that scrolls on a narrow screen instead of shrinking to nothing."""
    return f'<div class="wide">{svg}</div>'
