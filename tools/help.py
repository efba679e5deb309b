"""The help of a command: one line an option where that fits, a screen in all, in 80 columns.

Options stand in panels. Of a panel that is `Brief`, --help only names the options; --help-all
explains these too. typer's own pages took up to 151 lines, for a column of types, and left out what
stands in brackets.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

WIDTH = 80
NAMES = 24  # columns for the names of options
ALL = "--help-all"


class Brief(str):
    """The name of a panel whose options --help only names."""


class Command(TyperCommand):
    """A command with such a help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write what --help shows."""
        formatter.write(self._page(ctx, whole=False))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Answer --help-all, then parse."""
        if ALL in args:
            typer.echo(self._page(ctx, whole=True))
            ctx.exit()
        return super().parse_args(ctx, args)

    def _page(self, ctx: Any, whole: bool) -> str:
        lines = [typer.style(f"Usage: {ctx.command_path} {_usage(self)}", bold=True)]
        for paragraph in (self.help or "").split("\n\n"):
            lines += textwrap.wrap(" ".join(paragraph.split()), WIDTH)
        panels: dict[str, list[Any]] = {}
        for param in self.get_params(ctx):
            if not getattr(param, "hidden", False):
                panels.setdefault(_panel_of(param), []).append(param)
        named = {panel: params for panel, params in panels.items() if isinstance(panel, Brief)}
        for panel, params in panels.items():
            if whole or panel not in named:
                lines += [typer.style(f"{panel}:", bold=True)]
                lines += [line for param in params for line in _explained(param)]
        if named and not whole:
            for panel, params in named.items():
                text = f"{panel}: {'  '.join(_with_choices(param) for param in params)}"
                lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
            lines.append(f"{ctx.command_path} {ALL} explains those that are only named too.")
        return "\n".join(lines)


class Group(TyperGroup):
    """All commands, a line each."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write what --help shows."""
        lines = [typer.style(f"Usage: {ctx.command_path} COMMAND ...", bold=True)]
        lines += textwrap.wrap(self.help or "", WIDTH)
        lines.append(typer.style("Commands:", bold=True))
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            says = " ".join((command.help or "").split("\n\n")[0].split())
            lines += _columns(name, says, 9)
        lines.append(f"{ctx.command_path} COMMAND --help explains each; --version says which.")
        formatter.write("\n".join(lines))


def _usage(command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    names = [_metavar(one).strip("[]") for one in arguments]
    shown = [
        name if one.required else f"[{name}]" for name, one in zip(names, arguments, strict=True)
    ]
    required = [
        f"{param.opts[0]} {_metavar(param)}"
        for param in command.params
        if param.param_type_name == "option" and param.required
    ]
    return " ".join([*shown, *required, "[OPTIONS]"])


def _panel_of(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    panel: str | None = getattr(param, "rich_help_panel", None)
    return panel or "Options"


def _explained(param: Any) -> list[str]:
    """Return the lines of one option or argument."""
    argument = param.param_type_name == "argument"
    names = _metavar(param) if argument else "/".join([*param.opts, *param.secondary_opts])
    if not argument and (metavar := _metavar(param)):
        names += f" {metavar}"
    says = re.sub(r"\[default: ([^\]]*)\]", r"(default \1)", param.help or "")
    default = param.default
    shown = default is not None and default is not False and getattr(param, "show_default", True)
    if shown and not callable(default) and default != [] and "default" not in says:
        says += f" (default {default})"
    elif param.required and not argument:
        says += " (required)"
    return _columns(names, says, NAMES)


def _columns(names: str, says: str, width: int) -> list[str]:
    """Return names, and what they say beside them, or below where they are too long."""
    lines = textwrap.wrap(says, WIDTH - width - 4, break_on_hyphens=False) or [""]
    if len(names) > width:
        return [f"  {names}", *(" " * (width + 4) + line for line in lines)]
    beside = [f"  {names:<{width}}  {lines[0]}".rstrip()]
    return beside + [" " * (width + 4) + line for line in lines[1:]]


def _with_choices(param: Any) -> str:
    """Return the longest name of an option, and what may be chosen."""
    metavar = _metavar(param)
    return f"{param.opts[0]} {metavar}" if "|" in metavar else str(param.opts[0])


_KINDS = {int: "N", float: "X", Path: "PATH"}  # what stands for a value


def _metavar(param: Any) -> str:
    """Return what stands for the value of an option."""
    if getattr(param, "is_flag", False):
        return ""
    if param.metavar:
        return str(param.metavar)
    if param.param_type_name == "argument":
        return str(param.name).upper()
    kind = param.type_descriptor.annotation
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return _KINDS.get(get_args(kind)[0] if get_origin(kind) is list else kind, "NAME")
