"""The folder of a comparison: finished cells, one JSON and one model file each.

A cell is written when it is done and read back by a later run of the same plan, so that a killed
run goes on; what belongs to another plan is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eventsim.errors import EventsimError
from eventsim.files import replacing

from ..report import write_json
from .cells import Finished
from .plan import Cell, Plan

# Raised whenever cells come to hold something else.
VERSION = 4


class Store:
    """Cells on disk."""

    def __init__(self, folder: Path, plan: Plan, data: str) -> None:
        """Open the folder of a plan on data with the digest `data`, or begin one.

        Raises `EventsimError` naming the field where the folder is that of another plan.
        """
        self.folder = folder / "cells"
        self.folder.mkdir(parents=True, exist_ok=True)
        path = folder / "plan.json"
        # Grid, seeds and sizes only add cells; everything else is part of every cell.
        settings = {"version": VERSION, "data_digest": data, **plan.as_dict()}
        for name in ("dt_us", "steps", "duration_us", "seeds", "same_structure"):
            del settings[name]
        if path.exists():
            found = _read(path)
            for name in settings | found:
                if found.get(name) != settings.get(name):
                    raise EventsimError(
                        f"{path}: {name} is {found.get(name)!r}, expected "
                        f"{settings.get(name)!r} to go on; begin again in another --out"
                    )
        else:
            write_json(settings, path)

    def path(self, cell: Cell, end: str) -> Path:
        """Return the path of a cell's file."""
        return self.folder / f"{cell.name}{end}"

    def load(self, cell: Cell) -> Finished | None:
        """Return what a cell has left, None where it is not finished."""
        document, model = self.path(cell, ".json"), self.path(cell, ".pt")
        if not (document.exists() and model.exists()):
            return None
        return Finished(_read(document), model.read_bytes())

    def learning_rate(self, cell: Cell) -> float | None:
        """Return the rate that the cell with seed 0 has found best, None before it is finished."""
        path = self.path(cell._replace(seed=0), ".json")
        return float(_read(path)["training"]["learning_rate"]) if path.exists() else None

    def save(self, cell: Cell, finished: Finished) -> None:
        """Write a finished cell; the checkpoints of its trainings are no longer needed."""
        with replacing(self.path(cell, ".pt")) as file:
            file.write(finished.model)
        write_json(finished.document, self.path(cell, ".json"))
        for leftover in self.folder.glob(f"{cell.name}-training-*.pt"):
            leftover.unlink()

    def checkpoint(self, cell: Cell) -> Path:
        """Return where a cell's trainings keep their state, without the file's end."""
        return self.path(cell, "-training")


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EventsimError(
            f"{path}: the file is no JSON ({error}), expected one of compare"
        ) from None
    return document
