"""Files of the kinds that users report trouble with, and what each gives, as docs/cases.md has it.

They are made by `../shared/cases/make_cases.py`, which hold the same five events but where a name
says otherwise; the table is made by this test (`snapshots.py`).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from snapshots import check_table

from eventsim.errors import RecordingError
from eventsim.events.arrays import make_events
from eventsim.events.recordings import read_recording

pytest.importorskip("hdf5plugin")

MAKER = ROOT.parent / "shared" / "cases" / "make_cases.py"
HEADING = "| file | as it is | with what helps |"
FIVE = make_events(
    [0, 1000, 2000, 30_000, 61_000], [1, 5, 9, 20, 33], [2, 6, 7, 30, 12], [1, 0, 1, 1, 0]
).tolist()
# What begins at another time.
SHIFTED = {
    "csv_epoch.csv": 1_600_000_000_000_000, "csv_ns.csv": 1_600_000_000_000_000,
    "h5_dsec.h5": 49_000_000_000, "h5_mvsec.hdf5": 1_500_000_000_500_000,
}  # fmt: skip
# What holds other events.
OTHERS = {
    "dat_one_bad_x.dat": [0, 1000, 30_000, 61_000],
    "dat_out_of_sensor.dat": [0, 1000, 2000],
    "evt2_time_high_jump_back.raw": [0, 1000, 2000, 30_000, 61_000, 62_000],
    "evt3_vect_at_border.raw": [0],
    "evt3_y_origin_bit.raw": [0],
    "h5_one_bad_y.h5": [0, 1000, 30_000, 61_000],
    "ncaltech.bin": [10, 20, 9000],
    "nmnist_backwards.bin": [10, 30],
    "npy_one_back.npy": [5000, 6000, 7000, 8000],
    "npy_polarity_0123.npy": [0, 1000, 61_000],
}
# What has to be said besides.
SAID = {
    "npy_float_seconds.npy": {"time_unit": "s"}, "npy_xypt_s_float.npy": {"time_unit": "s"},
    "npy_xypt_ms_float.npy": {"time_unit": "ms"}, "h5_shd.h5": {"stream": 0},
}  # fmt: skip
SPIKES = {"h5_shd.h5": [3, 650, 1]}  # of units
LARGE = {"h5_dsec_blosc.h5"}
REFUSED = {
    "dat_no_header.dat", "evt2_no_header.raw", "h5_ecf.hdf5", "html_error.raw", "lfs_pointer.raw",
}  # fmt: skip


def test_each_case_gives_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not MAKER.exists():
        pytest.skip(f"there is no {MAKER} to make the files")
    subprocess.run([sys.executable, MAKER, tmp_path], check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    files = [Path(path.name) for path in sorted(tmp_path.iterdir())]
    assert {*SHIFTED, *OTHERS, *SAID, *REFUSED} <= {path.name for path in files}
    check_table(ROOT / "docs" / "cases.md", HEADING, [row(path) for path in files])


def row(path: Path) -> str:
    """Read a file as it is, then with what helps; return the row of the table."""
    options: list[dict[str, Any]] = [{}, SAID.get(path.name, {"on_bad": "drop"})]
    given = [read(path, some) for some in options]
    helps = given[1] != given[0]
    assert (path.name in REFUSED) == (given[0].startswith("`") and not helps)
    name, value = next(iter(options[1].items()))
    more = f"`--{name.replace('_', '-')} {value}`: {given[1]}" if helps else ""
    return f"| {path} | {given[0]} | {more} |"


def read(path: Path, options: dict[str, Any]) -> str:
    """Return in words what is read, which must be right, or the sentence that refuses it."""
    try:
        found = read_recording(path, **options)
    except RecordingError as error:
        sentence = str(error).removeprefix(f"{path}: ").replace("|", r"\|")
        return f"`{sentence}`"
    events, (width, height) = found.events, (found.sensor.width, found.sensor.height)
    if path.name in OTHERS:
        assert events["t"].tolist() == OTHERS[path.name]
    elif path.name in SPIKES:
        assert events["x"].tolist() == SPIKES[path.name]
    elif path.name not in LARGE:
        assert [
            (t - SHIFTED.get(path.name, 0), x, y, on) for t, x, y, on in events.tolist()
        ] == FIVE
    facts = [f"{name.replace('_', ' ')}: {value}" for name, value in found.about.facts.items()]
    dropped = [f"{count} {kind}" for kind, count in found.dropped.items()]
    left_out = f"; dropped {', '.join(dropped)}" if dropped else ""
    size = f"{width} x {height} ({found.about.sensor_from.partition(':')[0]})"
    return "; ".join([f"{len(events):,} events, {size}", *facts]) + left_out
