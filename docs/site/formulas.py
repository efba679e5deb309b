"""Formulas as MathML, which browsers show by themselves: no script, no font to fetch.

In: what arithmatex has found in a page, $...$ and blocks of ```math.
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

FOUND = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Turn the formulas of a page."""
    return FOUND.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    tag, text = found.groups()
    display = "block" if tag == "div" else "inline"
    latex = html.unescape(text).strip()[2:-2]  # without \( \) or \[ \]
    return f'<{tag} class="formula">{convert(latex.strip(), display=display)}</{tag}>'
