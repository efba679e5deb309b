"""How fast the command answers, structurally: what `--help` must not import."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "tonic", "matplotlib", "numba", "sklearn", "h5py", "numpy")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from eventsim_tools.main import app\n"
        "import typer.main\n"
        "typer.main.get_command(app)\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
