"""matplotlib figures as text for a page: SVG whose lines and letters take the page's own colour."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Stands for the page's text colour until the SVG is written; no other line may have it.
INK = "#010203"
COLOURS = {
    ("snn", "rate"): "#0f7fc1",
    ("rnn", "last"): "#d9822b",
    ("rnn", "rate-inspired"): "#b05a12",
    ("lstm", "last"): "#3d9a50",
    ("lstm", "rate-inspired"): "#1f6a31",
    ("ann", "last"): "#7a5195",
}


def label_of(row: dict[str, Any]) -> str:
    """Return the name of a model and its loss, where it could have another, and how it is read."""
    name = str(row["model"]).upper()
    if row["model"] in ("rnn", "lstm"):
        name += f", {row['loss']}"
    return name + (f", {row['reading']}" if "reading" in row else "")


def style_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return colour and line of a model and its loss: dashed for rate-inspired."""
    line = "--" if row["loss"] == "rate-inspired" else "-"
    return {"color": COLOURS[row["model"], row["loss"]], "ls": line, "label": label_of(row)}


@contextmanager
def figure_of(width: float, height: float) -> Iterator[Any]:
    """Make a figure of so many inches in the page's style; no global state, no display needed."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    coloured = (
        "text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "grid.color",
        "xtick.color", "ytick.color", "legend.labelcolor",
    )  # fmt: skip
    style: Any = dict.fromkeys(coloured, INK)
    style |= {"axes.grid": True, "grid.alpha": 0.15, "legend.frameon": False, "font.size": 10}
    style |= {"axes.spines.top": False, "axes.spines.right": False, "savefig.transparent": True}
    # The same plot is the same text, whenever and wherever it is drawn.
    style |= {"svg.hashsalt": "eventsim", "svg.fonttype": "path"}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def svg_of(figure: Any) -> str:
    """Return a figure as an <svg> element; inside `figure_of`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")
