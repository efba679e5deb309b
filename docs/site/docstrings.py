"""Docstrings as Markdown: the lines that describe parameters become a list.

A paragraph of lines "name: what it is", continued by indented ones, would run together.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ENTRY = re.compile(r"^`?(\w+(?:, \w+)*)`?: ")


class ParameterLists(griffe.Extension):
    """Rewrites the docstring of each object once it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Turn the paragraphs that are lists."""
        if obj.docstring is not None:
            paragraphs = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(map(_as_list, paragraphs))


def _as_list(paragraph: str) -> str:
    lines = paragraph.splitlines()
    if not lines or not ENTRY.match(lines[0]):
        return paragraph
    if not all(line.startswith("    ") or ENTRY.match(line) for line in lines):
        return paragraph
    items = []
    for line in lines:
        if line.startswith("    "):
            items.append("  " + line.strip())
        else:
            items.append("- " + ENTRY.sub(lambda found: f"**{found[1]}**: ", line))
    return "\n".join(items)
