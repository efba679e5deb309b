"""matplotlib figures for a page, in its own text colour, and as files for a paper."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .parts import Plot

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
# So that a line is known without its colour, too.
MARKERS = {
    ("snn", "rate"): "o",
    ("rnn", "last"): "s",
    ("rnn", "rate-inspired"): "D",
    ("lstm", "last"): "^",
    ("lstm", "rate-inspired"): "v",
    ("ann", "last"): "P",
}


def label_of(row: dict[str, Any]) -> str:
    """Return the name of a model and its loss, where it could have another, and how it is read."""
    name = str(row["model"]).upper()
    if row["model"] in ("rnn", "lstm"):
        name += f", {row['loss']}"
    return name + (f", {row['reading']}" if "reading" in row else "")


def style_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return colour, marker and line of a model and its loss: dashed for rate-inspired."""
    kind = row["model"], row["loss"]
    line = "--" if row["loss"] == "rate-inspired" else "-"
    return {
        "color": COLOURS[kind], "marker": MARKERS[kind], "ms": 4.5, "ls": line,
        "label": label_of(row),
    }  # fmt: skip


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
    style |= {"svg.hashsalt": "eventsim", "svg.fonttype": "path", "pdf.fonttype": 42}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def plot_of(figure: Any, name: str) -> Plot:
    """Return a figure as a part of the report; inside `figure_of`.

    On the page its letters are paths, which need no font; in the files of a paper they are text.
    """
    import matplotlib as mpl

    inline = _saved(figure, "svg", {"Date": None}).decode()
    inline = inline[inline.index("<svg") :].replace(INK, "currentColor")
    with mpl.rc_context({"svg.fonttype": "none"}):
        svg = _saved(figure, "svg", {"Date": None})
    return Plot(name, inline, _saved(figure, "pdf", {"CreationDate": None}), svg)


def _saved(figure: Any, kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()
