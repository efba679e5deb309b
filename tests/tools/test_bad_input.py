"""What commands say to bad input, as docs/bad-input.md has it: the table is made by this test.

EVENTSIM_WRITE_SNAPSHOTS=1 python -m pytest tests/tools/test_bad_input.py
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import run_command
from network_damage import DAMAGE as NETWORKS
from network_damage import FILES, own
from network_files import small
from places import ROOT
from recording_damage import BACKWARD_FILES, DAMAGE
from recording_files import EVENTS, WHOLE
from snapshots import check_table

import eventsim as es

RECORDINGS = (
    "unknown suffix", "a pointer of Git LFS", "a web page", "empty .raw", "N-MNIST as .h5",
    "N-MNIST cut", "DAT outside", "EVT3 no time", "AEDAT4 cut", "text other names",
    "text no order", "text unit", "text word", "NPY shape", "HDF5 without events",
)  # fmt: skip
NETWORK_FILES = ("a file of PyTorch",)
NETWORK_FIELDS = (
    "a later version", "dt_us zero", "a class_name too few", "another type",
    "weight of another layer", "weight with NaN", "another neuron",
)  # fmt: skip
# The network takes a sensor of 4 x 4 pixels, and good.npy has events at 40 x 30.
COMMANDS = {
    "no such recording": "inspect gone.bin",
    "nothing to run": "run net.h5",
    "recordings and a data set": "run net.h5 good.npy --data digits",
    "a root without a data set": "run net.h5 good.npy --root .",
    "a cluster for files": "run net.h5 good.npy --cluster 2",
    "an unknown data set": "run net.h5 --data mnist",
    "a data set that is missing": "run net.h5 --data nmnist --root gone",
    "options of one's own data": "run net.h5 --data digits --test-share 0.5",
    "a data set that nobody offers": "run net.h5 --data ncars --root gone --download",
    "events beside the input": "run net.h5 good.npy",
    "a sensor too large": "run net.h5 good.npy --sensor 40x30",
    "a sensor of one number": "inspect good.npy --sensor 40",
    "a region beside the sensor": "inspect good.npy --sensor 40x30 --region 30,0,20,10",
    "another sensor than the file's": "inspect evt2.raw --sensor 41x30",
    "a stream that is not there": "inspect plain.aedat --stream 3",
    "torch without timesteps": "run net.h5 good.npy --mode async --against-torch",
    "a window of no whole hops": "stream net.h5 --from good.npy --window-us 15000",
    "an address without a port": "stream net.h5 --from udp://localhost",
    "a file's option for a socket": "stream net.h5 --from udp://localhost:1 --sort",
    "a pace that is none": "send good.npy --to udp://localhost:9 --pace inf",
    "a folder that is missing": "run net.h5 good.npy --json gone/out.json",
}


def damaged(name: str, folder: Path) -> str:
    """Write the damaged file of a case; return the command that meets it."""
    if name in RECORDINGS:
        file, contents, _ = DAMAGE[name]
        (folder / file).write_bytes(contents)
        return f"inspect {file}"
    if name in FILES:
        (folder / "bad.h5").write_bytes(FILES[name]((folder / "net.h5").read_bytes()))
    else:
        (folder / "bad.h5").write_bytes((folder / "net.h5").read_bytes())
        with h5py.File(folder / "bad.h5", "r+") as file:
            NETWORKS[name](file)
    return "inspect bad.h5"


def test_the_page_has_what_commands_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    es.save_network(small(), "net.h5")
    np.save("good.npy", EVENTS)
    for name in ("evt2.raw", "plain.aedat"):
        Path(name).write_bytes(WHOLE[name])
    Path("back.csv").write_bytes(BACKWARD_FILES["back.csv"])
    before = sorted(tmp_path.iterdir())
    commands = COMMANDS | {"backward time": "inspect back.csv"}
    rows = []
    for name, command in commands.items():
        rows.append(row(name, command))
    assert sorted(tmp_path.iterdir()) == before  # nothing was written
    for name in (*RECORDINGS, *NETWORK_FILES, *NETWORK_FIELDS):
        rows.append(row(name, damaged(name, tmp_path)))
    check_table(ROOT / "docs" / "bad-input.md", "| case | `eventsim` | it says |", rows)


def row(case: str, command: str) -> str:
    """Run a command, and return its row: what it says begins with the name of the program."""
    said = str(run_command(*command.split()))
    assert said.startswith("eventsim: ")
    assert "\n" not in said
    sentence = own(said.removeprefix("eventsim: ")).replace("|", "\\|")
    return f"| {case} | `{command}` | `{sentence}` |"
