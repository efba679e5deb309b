"""What gets installed, what each package may import, and how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

import eventsim

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {"eventsim": "eventsim", "eventsim_bridge": "bridge", "eventsim_tools": "tools"}
TRAINING = {"torch", "tonic", "matplotlib", "sklearn", "scipy"}
# Packages whose own modules are imported by their commands alone, but for these.
COMMANDS = [ROOT / "tools" / name for name in ("bench", "compare", "live", "pictures")]
AT_ONCE = ("__init__.py", "command.py", "options.py", "stream.py", "view.py")
SLOW = TRAINING | {"numpy", "numba", "h5py", "faery", "expelliarmus"}


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / FOLDERS[package]).rglob("*.py"))
    assert found, f"no sources of {package}"
    return found


SOURCES = [
    pytest.param(package, path, id=str(path.relative_to(ROOT)))
    for package in FOLDERS
    for path in sources(package)
]


def statements(path: Path, *, at_import: bool) -> Iterator[ast.AST]:
    """Walk a file; `at_import` leaves out what only runs in a function or for a type checker."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        yield node
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_import and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        pending.extend(ast.iter_child_nodes(node))


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """Return the top-level names that a file imports; relative imports are its own package."""
    names: set[str] = set()
    for node in statements(path, at_import=at_import):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_the_listed_packages_are_those_on_disk() -> None:
    """A package that is not listed works when editable, and is missing from the wheel."""
    setuptools = PYPROJECT["tool"]["setuptools"]
    assert {"eventsim": "eventsim", **setuptools["package-dir"]} == FOLDERS
    on_disk = {
        ".".join([package, *path.parent.relative_to(ROOT / folder).parts])
        for package, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(setuptools["packages"]) == sorted(on_disk)


@pytest.mark.parametrize("package", FOLDERS)
def test_every_folder_of_sources_is_a_package(package: str) -> None:
    assert [path for path in sources(package) if not (path.parent / "__init__.py").exists()] == []


@pytest.mark.parametrize("package", FOLDERS)
def test_types_and_tables_are_shipped(package: str) -> None:
    """Every file that is no source, as one that is not listed is missing from the wheel too."""
    on_disk = [
        str(path.relative_to(ROOT / FOLDERS[package]))
        for path in sorted((ROOT / FOLDERS[package]).rglob("*"))
        if path.is_file() and path.suffix != ".py" and path.parent.name != "__pycache__"
    ]
    assert "py.typed" in on_disk
    listed = PYPROJECT["tool"]["setuptools"]["package-data"][package]
    shipped = [path for pattern in listed for path in (ROOT / FOLDERS[package]).glob(pattern)]
    assert sorted(str(path.relative_to(ROOT / FOLDERS[package])) for path in shipped) == on_disk


def test_the_version_is_stated_once() -> None:
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "eventsim.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", eventsim.__version__)
    elsewhere = [ROOT / "CITATION.cff", *(ROOT / ".github").rglob("*.y*ml"), ROOT / ".ci" / "run"]
    assert [path for path in elsewhere if eventsim.__version__ in path.read_text()] == []


def test_extras_that_errors_name_exist() -> None:
    """And with the name under which the package is published, not that under which it imports."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    named = set()
    for package in FOLDERS:
        for path in sources(package):
            text = path.read_text()
            assert "eventsim[" not in text, path
            named |= set(re.findall(PYPROJECT["project"]["name"] + r"\[(\w+)\]", text))
    assert named >= {"camera", "cuda", "nir", "pandas", "peers", "ros"}
    assert named <= set(extras)


def test_what_is_promised_can_be_imported() -> None:
    assert [name for name in eventsim.__all__ if not hasattr(eventsim, name)] == []
    assert len(set(eventsim.__all__)) == len(eventsim.__all__)


def test_the_engine_imports_no_training_framework() -> None:
    """The whole of it, not only what `import eventsim` happens to load."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources("eventsim")
    ]
    script = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(*sorted({TRAINING - {'scipy'}!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize(("package", "path"), SOURCES)
def test_imports_go_one_way(package: str, path: Path) -> None:
    """tools -> bridge -> eventsim: and a package's own modules are imported relatively."""
    found = imports(path)
    assert not found & {"bridge", "tools"}, "the folders' names are not the packages'"
    assert package not in found, "a relative import is meant"
    if package != "eventsim_tools":
        assert "eventsim_tools" not in found
    if package == "eventsim":
        assert not found & {"eventsim_bridge", *TRAINING}
    deferred = any(folder in path.parents and path.name not in AT_ONCE for folder in COMMANDS)
    if package == "eventsim_tools" and not deferred:
        at_import = imports(path, at_import=True)
        assert not at_import & {"eventsim", "eventsim_bridge", *SLOW}, "`--help` would be slow"


def rooms_imported(package: str) -> dict[str, set[str]]:
    """Which rooms each room of a package imports: its folders, and its files beside these."""
    base = ROOT / FOLDERS[package]
    found: dict[str, set[str]] = {}
    for path in sources(package):
        here = path.relative_to(base).with_suffix("").parts
        if here == ("__init__",):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                named = [*here[: len(here) - node.level], *(node.module or "").split(".")]
                for room in [named[0]] if named[0] else [alias.name for alias in node.names]:
                    if room != here[0] and room != "__version__":
                        found.setdefault(here[0], set()).add(room)
    return found


@pytest.mark.parametrize("package", FOLDERS)
def test_no_room_imports_one_that_imports_it(package: str) -> None:
    rooms = rooms_imported(package)
    assert rooms, f"no imports in {package}"
    reached = {room: set(others) for room, others in rooms.items()}
    for _ in rooms:
        for others in reached.values():
            others |= {further for other in others for further in reached.get(other, ())}
    assert [room for room, others in reached.items() if room in others] == []


@pytest.mark.parametrize(("package", "path"), SOURCES)
def test_files_stay_short(package: str, path: Path) -> None:
    assert len(path.read_text().splitlines()) < 400


def test_what_is_imported_is_found(tmp_path: Path) -> None:
    """The finder itself: functions and types-only blocks are left out where asked."""
    path = tmp_path / "module.py"
    path.write_text(
        "import a.b as c, d\n"
        "from . import e\n"
        "from f.g import h\n"
        "if TYPE_CHECKING:\n    import i\nelse:\n    import j\n"
        "try:\n    import k\nexcept ImportError:\n    pass\n"
        "class L:\n    import m\n    def n(self):\n        import o\n"
        "def p():\n    from q import r\n"
    )
    assert imports(path) == {"a", "d", "f", "i", "j", "k", "m", "o", "q"}
    assert imports(path, at_import=True) == {"a", "d", "f", "j", "k", "m"}


# What Windows has not: modules, and names of modules that it has.
POSIX_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios")
POSIX_NAMES = {
    "os": (
        "chown", "fork", "getuid", "geteuid", "killpg", "mkfifo", "sched_getaffinity", "setsid",
        "sysconf", "uname",
    ),
    "select": ("POLLIN", "POLLOUT", "poll", "epoll"),
    "signal": ("SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2"),
    "socket": ("AF_UNIX", "MSG_DONTWAIT", "MSG_NOSIGNAL", "SO_REUSEPORT"),
    "time": ("tzset",),
}  # fmt: skip


def test_nothing_that_windows_has_not_is_needed_to_import(tmp_path: Path) -> None:
    """Every module but those of benchmarks, each of which is a program of its own."""
    modules = [
        ".".join([package, *path.relative_to(ROOT / FOLDERS[package]).with_suffix("").parts])
        for package in FOLDERS
        for path in sources(package)
        if "cuda" not in path.parts and "bench" not in path.parts
    ]
    # Others are imported first: what they need on Linux is not what is asked.
    script = (
        "import asyncio, faery, h5py, importlib, multiprocessing.connection, numba, subprocess\n"
        "import sys, torch, torch.distributed, matplotlib.figure, sklearn.datasets, nir, aiohttp\n"
        "import distributed, norse.torch, sinabs, snntorch, spikingjelly.activation_based.neuron\n"
        "import platformdirs\n"
        f"for name in {POSIX_MODULES!r}:\n    sys.modules[name] = None\n"
        f"for module, names in {POSIX_NAMES!r}.items():\n"
        "    for name in names:\n"
        "        if hasattr(importlib.import_module(module), name):\n"
        "            delattr(importlib.import_module(module), name)\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name.removesuffix('.__init__'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("package", "path"), SOURCES)
def test_what_windows_has_not_is_asked_for_before_it_is_used(package: str, path: Path) -> None:
    """A file that uses such a name asks `hasattr` for it, or for another of its module."""
    used, asked = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in POSIX_NAMES.get(node.value.id, ()):
                used.add(node.value.id)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
            asked.add(ast.unparse(node.args[0]))
    assert used <= asked
    assert not imports(path) & set(POSIX_MODULES)
