"""Check the built site: every link leads to a file and a place in it, and no page fetches anything.

    python docs/site/links.py build/site

mkdocs checks the links that it finds in Markdown; this looks at what came out.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src")}


class Page(HTMLParser):
    """The places that a page has, and where it leads."""

    def __init__(self, path: Path) -> None:
        """Read a page."""
        super().__init__()
        self.places: set[str] = set()
        self.leads: list[tuple[str, str, str]] = []  # tag, attribute, where to
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag says."""
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value is not None:
                self.leads.append((tag, name, value))


def faults_of(site: Path) -> list[str]:
    """Return a line for each link that leads nowhere, and each thing fetched from elsewhere."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        for tag, name, value in page.leads:
            to = urlsplit(value)
            if to.scheme or to.netloc:
                if (tag, name) in LOADS and to.scheme != "data":
                    faults.append(f"{path.name}: {tag} fetches {value}")
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            if path.name == "404.html":  # its links begin at the root of a server
                continue
            if not target.is_file():
                faults.append(f"{path.name}: {value} is no file")
            elif to.fragment and unquote(to.fragment) not in pages[target].places:
                faults.append(f"{path.name}: {value} is no place on that page")
    return faults


if __name__ == "__main__":
    found = faults_of(Path(sys.argv[1]))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{sys.argv[1]}: {len(found)} links lead nowhere")
    sys.exit(bool(found))
