"""What networks, results and data sets look like at a prompt and in a notebook: a titled table.

In: a title, names of columns, rows. Out: text for `repr`, HTML for notebooks.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import EventsimError

if TYPE_CHECKING:
    from pandas import DataFrame


class Table(NamedTuple):
    """A sentence, and rows under named columns; numbers stand on the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def text(self) -> str:
        """Return the title and one line a row."""
        cells = [self.columns, *(tuple(map(_written, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        right = self._right()
        lines = [
            "  ".join(
                cell.rjust(width) if on_right else cell.ljust(width)
                for cell, width, on_right in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, *(f"  {line}" for line in lines)])

    def html(self) -> str:
        """Return the same as an HTML table, its title above."""
        sides = ["right" if on_right else "left" for on_right in self._right()]

        def line(tag: str, cells: tuple[Any, ...]) -> str:
            shown = (
                f'<{tag} style="text-align: {side}">{escape(_written(cell))}</{tag}>'
                for cell, side in zip(cells, sides, strict=True)
            )
            return f"<tr>{''.join(shown)}</tr>"

        body = "".join(line("td", row) for row in self.rows)
        return (
            f"<div><p>{escape(self.title)}</p><table><thead>{line('th', self.columns)}</thead>"
            f"<tbody>{body}</tbody></table></div>"
        )

    def _right(self) -> list[bool]:
        return [
            bool(self.rows) and all(isinstance(cell, int | float) for cell in column)
            for column in zip(*self.rows, strict=True)
        ] or [False] * len(self.columns)


def _written(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.2%}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def frame_of(rows: list[dict[str, Any]]) -> DataFrame:
    """Return rows as a `pandas.DataFrame`; raises `EventsimError` where pandas is missing."""
    try:
        from pandas import DataFrame
    except ModuleNotFoundError as error:
        raise EventsimError(
            "pandas is not installed, and to_frame needs it: pip install 'eventsim-snn[pandas]'"
        ) from error
    return DataFrame(rows)


def by(shape: tuple[int, ...]) -> str:
    """Write a shape, such as 2 x 34 x 34."""
    return " x ".join(map(str, shape))
