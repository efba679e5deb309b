"""Texts that tests keep: compared with what is found, or written again where that is asked for.

    EVENTSIM_WRITE_SNAPSHOTS=1 python -m pytest tests/tools/test_bad_input.py

Read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from places import ROOT

WRITES = os.environ.get("EVENTSIM_WRITE_SNAPSHOTS") == "1"


def check_snapshot(name: str, found: Any) -> None:
    """Compare with a JSON file of `tests/snapshots/`."""
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    path = ROOT / "tests" / "snapshots" / name
    kept = _kept(path, text)
    assert found == json.loads(kept)


def check_table(page: Path, heading: str, rows: list[str]) -> None:
    """Compare with the rows of the table that has this heading, in a page of the docs."""
    before, _, rest = page.read_text().partition(f"{heading}\n")
    assert rest, f"{page.name} has no table {heading}"
    rule, _, rest = rest.partition("\n")
    after = rest[rest.index("\n\n") :]
    text = f"{before}{heading}\n{rule}\n" + "\n".join(rows) + after
    assert text.splitlines() == _kept(page, text).splitlines()


def _kept(path: Path, text: str) -> str:
    if WRITES:
        path.write_text(text)
    return path.read_text()
