"""The page of the command line, from the commands themselves: what `--help` says, as tables."""

from __future__ import annotations

import re
from typing import Any

import typer
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add the page."""
    from eventsim_tools.main import app

    group: Any = typer.main.get_command(app)
    parts = [f"# The command line\n\n{group.help}\n"]
    for name, command in group.commands.items():
        parts.append(f"## eventsim {name}\n\n{_plain(command.help)}\n")
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        words = [f"{one.name.upper()}" for one in arguments]
        parts.append(f"    {' '.join(['eventsim', name, *words, '[OPTIONS]'])}\n")
        rows = ["| | | default |", "|---|---|---|"]
        for one in command.params:
            if getattr(one, "hidden", False) or one.name == "help":
                continue
            names = one.name.upper() if one in arguments else ", ".join(one.opts)
            rows.append(f"| `{names}` | {_cell(one.help)} | {_default(one)} |")
        parts.append("\n".join(rows) + "\n")
    files.append(File.generated(config, "api/commands.md", content="\n".join(parts)))
    return files


def _plain(text: str | None) -> str:
    return re.sub(r"[ \t]+\n", "\n", text or "").replace("\b", "")


def _cell(text: str | None) -> str:
    return re.sub(r"\s+", " ", _plain(text)).replace("|", "\\|").replace("<", "&lt;")


def _default(one: Any) -> str:
    if one.required:
        return "required"
    value = one.default
    if value is None or value is False or value == () or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"
