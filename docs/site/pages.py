"""Home, changelog and contributing, from the files beside docs/.

README.md becomes the home page. Links that lead out of docs/ go to these pages, or become the path
that they name; links that read as the name of a page get its title.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
MADE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
PICTURE = re.compile(r'<p>(<img [^>]*src="([^"]+)"[^>]*>)</p>')
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for source, target in MADE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if source == "CHANGELOG.md":
            text = re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", text)
        text = LINK.sub(lambda found: _from_root(found, files), text)
        files.append(File.generated(config, target, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn the links of docs/ that lead out of it."""
    return LINK.sub(_from_docs, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Let a picture open by itself, as one that is wide is small on a phone."""
    return PICTURE.sub(r'<p><a href="\2">\1</a></p>', html)


def _from_root(found: re.Match[str], files: Files) -> str:
    text, target = found.groups()
    path, _, anchor = target.partition("#")
    if target.startswith(("http", "#", "mailto")):
        return found[0]
    if path in MADE:
        return f"[{text}]({MADE[path]}{'#' * bool(anchor)}{anchor})"
    if path.startswith("examples/"):
        return _to_gallery(text, path)
    if path.startswith("docs/"):
        return f"[{text}]({target.removeprefix('docs/')})"
    if files.get_file_from_path(path):
        return found[0]
    return f"{text} (`{path}`)" if text != path else f"`{path}`"


def _from_docs(found: re.Match[str]) -> str:
    text, target = found.groups()
    path, _, anchor = target.partition("#")
    page = ROOT / "docs" / path
    if text == path and page.suffix == ".md" and page.is_file():  # a reader wants its title
        title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        return f"[{title}]({target})"
    if not path.startswith("../"):
        return found[0]
    name = path.removeprefix("../")
    if name in MADE:
        return f"[{text}]({MADE[name]}{'#' * bool(anchor)}{anchor})"
    if name.startswith("examples/"):
        return _to_gallery(text, name)
    return f"{text} (`{name}`)" if text != name else f"`{name}`"


def _to_gallery(text: str, path: str) -> str:
    name = Path(path).stem if path.endswith(".py") else "index"
    return f"[{text}](gallery/{name}.md)"
