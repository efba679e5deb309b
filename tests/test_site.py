"""The documentation site, which `make docs` builds: what its own parts promise."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

import eventsim
import eventsim_bridge


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("package", [eventsim, eventsim_bridge], ids=lambda one: one.__name__)
def test_every_public_name_is_on_a_page_of_the_api(package: Any) -> None:
    pages = "\n".join(path.read_text() for path in (ROOT / "docs" / "api").glob("*.md"))
    shown = re.findall(rf"^::: {package.__name__}\.(\w+)$", pages, re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert set(package.__all__) - set(shown) <= {"EVENT_DTYPE"}  # told in a sentence
    assert "`es.EVENT_DTYPE`" in pages


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text('<p id="place">')
    page = tmp_path / "page.html"
    page.write_text('<a href="there.html#place"><a href="#top"><b id="top"><img src="page.html">')
    faults_of = script("links").faults_of
    assert faults_of(tmp_path) == []
    page.write_text(
        '<a href="gone.html"><a href="there.html#gone"><a href="#gone"><a href="https://else.where">'
        '<script src="https://else.where/a.js"></script>'
    )
    assert faults_of(tmp_path) == [
        "page.html: gone.html is no file",
        "page.html: there.html#gone is no place on that page",
        "page.html: #gone is no place on that page",
        "page.html: script fetches https://else.where/a.js",
    ]
