"""Options that several commands share, as dataclasses, and what gives them to a command."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import typer

from .help import Brief


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of each of its parameters that is a dataclass, as options.

    The fields are annotated as options of typer are; the command takes the dataclass itself.
    """
    hints = get_type_hints(command, include_extras=True)
    shown: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if not dataclasses.is_dataclass(kind):
            shown.append(_keyword(parameter.name, parameter.default, kind))
            continue
        groups[parameter.name] = kind  # type: ignore[assignment]
        of_fields = get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            missing = field.default is dataclasses.MISSING
            default = inspect.Parameter.empty if missing else field.default
            _put_into(getattr(kind, "panel", None), of_fields[field.name])
            shown.append(_keyword(field.name, default, of_fields[field.name]))

    def expanded(**given: Any) -> None:
        made = {
            name: kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
            for name, kind in groups.items()
        }
        command(**made, **given)

    expanded.__name__, expanded.__doc__ = command.__name__, command.__doc__
    expanded.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    expanded.__annotations__ = {one.name: one.annotation for one in shown}
    return expanded


def _put_into(panel: str | None, annotation: Any) -> None:
    """Put an option into the panel of its dataclass, unless it has one."""
    for option in get_args(annotation)[1:]:
        option.rich_help_panel = option.rich_help_panel or panel


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


DownloadOption = Annotated[
    bool,
    typer.Option("--download", help="Let tonic download the data set to --root if it is missing."),
]
ClusterOption = Annotated[
    str | None, typer.Option(help="Dask scheduler (tcp://...), or a number of processes here.")
]


@dataclasses.dataclass(frozen=True)
class Parting:
    """How recordings of one's own are parted; the fields are options of the command line."""

    panel: ClassVar[str] = Brief("Folders of your own recordings")

    test_share: Annotated[
        float | None,
        typer.Option(help="Of --data folder without a train and a test: to test with; 0.2."),
    ] = None
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Regular expression for each path: what it finds, a subject say, is in one part.",
            metavar="REGEX",
        ),
    ] = None


def writable(path: Path | None) -> Path | None:
    """Check a file to write, before the work begins; "-" is stdout. The callback of an option."""
    if path is not None and str(path) != "-":
        from eventsim.files import check_writable

        check_writable(path)
    return path


def whole_numbers(name: str, text: str, between: str, count: int) -> Any:
    """Return the whole numbers of an option; what they may be is checked where they are used."""
    from eventsim import EventsimError

    parts = text.split(between)
    if len(parts) != count or not all(part.strip().isdecimal() for part in parts):
        shape = between.join(["N"] * count)
        raise EventsimError(f"{name} is {text!r}, expected whole numbers {shape}")
    return tuple(map(int, parts))
