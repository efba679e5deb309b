"""The parts of a report, each of which is also a file for a paper.

    Table -> HTML, LaTeX, CSV        Plot -> HTML, PDF, SVG with its text as text

In: what `page.py` and `figures.py` make. Out: HTML for the page, and the files of `paper/`.
"""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

LONGEST_HEADING = 12  # in a line of a LaTeX table
_NUMBER = re.compile(r"[-+]?[\d,]+(\.\d+)?(e[-+]?\d+)?( %)?")
_LATEX = {
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
}


@dataclass(frozen=True)
class Table:
    """A table; the first column is text, the others are numbers as they are to be read."""

    name: str  # of its files
    caption: str
    head: Sequence[str]
    body: Sequence[Sequence[str]]

    def html(self) -> str:
        """Return it for the page."""
        head = "".join(f"<th>{escape(title)}</th>" for title in self.head)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>"
            for row in self.body
        )
        return (
            f'<figure><figcaption>{escape(self.caption)}</figcaption><div class="wide"><table>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></figure>"
        )

    def files(self) -> dict[str, bytes]:
        """Return the contents of its files by their suffix."""
        return {".tex": self._latex().encode(), ".csv": self._csv().encode()}

    def _latex(self) -> str:
        """Return it for a document that uses graphicx: one wider than the text becomes smaller."""
        head = [_for_latex(self.head[0]), *map(_stacked, self.head[1:])]
        rows = [" & ".join(row) + r" \\" for row in (head, *map(_cells, self.body))]
        return "\n".join(
            [
                r"\begin{table}", rf"\caption{{{_for_latex(self.caption)}}}",
                r"\medskip", r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
                rf"\begin{{tabular}}{{l{'r' * (len(self.head) - 1)}}}", r"\hline", rows[0],
                r"\hline", *rows[1:], r"\hline", r"\end{tabular}}", r"\end{table}", "",
            ]
        )  # fmt: skip

    def _csv(self) -> str:
        """Return numbers as programs read them: no separators, percent in the title."""
        percent = [any(row[i].endswith(" %") for row in self.body) for i in range(len(self.head))]
        titles = [
            f"{title} (%)" if shares and "%" not in title else title
            for title, shares in zip(self.head, percent, strict=True)
        ]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([titles, *([_plain(text) for text in row] for row in self.body)])
        return text.getvalue()


@dataclass(frozen=True)
class Plot:
    """A plot, drawn already."""

    name: str
    inline: str  # an <svg> in the colours of the page
    pdf: bytes
    svg: bytes

    def html(self) -> str:
        """Return it for the page; it scrolls on a narrow screen instead of shrinking to nothing."""
        return f'<div class="wide">{self.inline}</div>'

    def files(self) -> dict[str, bytes]:
        """Return the contents of its files by their suffix."""
        return {".pdf": self.pdf, ".svg": self.svg}


@dataclass(frozen=True)
class Text:
    """HTML that is no file of a paper."""

    markup: str

    def html(self) -> str:
        """Return it for the page."""
        return self.markup

    def files(self) -> dict[str, bytes]:
        """Return none."""
        return {}


Part = Table | Plot | Text


def write_files(parts: Iterable[Part], folder: Path) -> None:
    """Write the files of all tables and plots."""
    from eventsim.files import replacing

    folder.mkdir(exist_ok=True)
    for part in parts:
        for suffix, contents in part.files().items():
            with replacing(folder / f"{part.name}{suffix}") as file:  # type: ignore[union-attr]
                file.write(contents)


def _plain(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        return text
    return text.removesuffix(" %").replace(",", "")


def _cells(row: Sequence[str]) -> list[str]:
    return [_for_latex(text) for text in row]


def _stacked(title: str) -> str:
    """Return a heading in short lines, so that its numbers set the width of a column."""
    lines = textwrap.wrap(title, LONGEST_HEADING, break_long_words=False)
    return r"\shortstack[r]{" + r"\\".join(map(_for_latex, lines)) + "}"


def _for_latex(text: str) -> str:
    written = "".join(_LATEX.get(sign, sign) for sign in text)
    return re.sub(r"(?<=\d) - (?=\d)", "--", written)  # from - to
