"""`eventsim run --csv`: a row for each sample and layer, with every count; for spreadsheets and R.

The columns are those of `Result.to_frame`, behind the name of the recording and its label; energies
by model stand at the end.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventsim import Result

    from .energies import Energies


def write_csv(
    path: Path,
    names: Sequence[str],
    labels: Sequence[int] | None,
    results: Sequence[Result],
    energies: Energies | None,
) -> None:
    """Write the rows to a file in one go, or to stdout for the path "-"."""
    from eventsim.files import replacing

    rows = [row for index in range(len(results)) for row in _rows(index, names, labels, results)]
    if energies is not None:
        priced = (energies.priced(result.operations) for result in results)
        counted = [layer for operations in priced for layer in operations.layers]
        for row, layer in zip(rows, counted, strict=True):
            row |= {f"energy_pj_{name}": value for name, value in energies.of(layer).items()}
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if str(path) == "-":
        sys.stdout.write(text.getvalue())
        return
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def _rows(
    index: int, names: Sequence[str], labels: Sequence[int] | None, results: Sequence[Result]
) -> list[dict[str, Any]]:
    sample = {"recording": names[index], "label": "" if labels is None else labels[index]}
    return [sample | row for row in results[index].rows()]
