"""The gallery: a page for each script of examples/, and one that shows them all.

In: the scripts in the order of the nav, each with a docstring of a title and a text, and the
pictures that they left in build/examples: `make docs` runs those whose picture is missing or older.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "examples"
INTRODUCTION = """---
hide: [toc]
---

# Examples

Each script runs as it stands, in less than a minute, and downloads nothing:

    python examples/network_by_hand.py

"""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and the pictures."""
    cards = []
    (section,) = [one["Examples"] for one in config.nav if "Examples" in one]
    for path in (ROOT / "examples" / f"{Path(page).stem}.py" for page in section[1:]):
        name, picture = path.stem, PICTURES / f"{path.stem}.png"
        if not picture.is_file():
            raise PluginError(f"{picture} is missing, expected what examples/{path.name} draws")
        text = path.read_text(encoding="utf-8")
        described = ast.get_docstring(ast.parse(text)) or ""
        title, _, _, *rest = described.splitlines()
        said = "\n".join(rest)
        code = text.split('"""', 2)[2].strip()
        page = (
            f"# {title}\n\n{said}\n\n![The picture that the script draws]({name}.png)\n\n"
            f'```python title="examples/{path.name}"\n{code}\n```\n'
        )
        first = said.partition(". ")[0].replace("\n", " ").rstrip(".") + "."
        cards.append(
            f'<div class="card" markdown>\n[![]({name}.png){{ alt="" }}]({name}.md)\n\n'
            f"**[{title}]({name}.md)**\n\n{first}\n</div>"
        )
        files.append(File.generated(config, f"gallery/{name}.md", content=page))
        files.append(File.generated(config, f"gallery/{name}.png", abs_src_path=str(picture)))
    index = INTRODUCTION + '<div class="cards" markdown>\n\n' + "\n\n".join(cards) + "\n\n</div>\n"
    files.append(File.generated(config, "gallery/index.md", content=index))
    return files
