"""The site builds without a warning, and a browser that opens it asks nobody else for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; strictly, so that a link or an anchor that leads nowhere fails it.

    Not with --quiet: what is not logged is not counted.
    """
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_every_link_leads_somewhere(site: Path) -> None:
    """Between pages, to headings, to files of the repository; every page is in the navigation."""
    assert (site / "index.html").exists()
    assert (site / "stack.html").exists()
    assert (site / "changelog.html").exists()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No script, style, font, image or frame of another host; links that somebody clicks may lead away."""
    fetched = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\ssrc=\"?(?:https?:)?//[^>]*|<link\b[^>]*(?:https?:)?//[^>]*>"
    )
    for page in site.rglob("*.html"):
        found = fetched.findall(page.read_text(encoding="utf-8"))
        assert [link for link in found if 'rel="canonical"' not in link] == [], page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text(encoding="utf-8"))


def test_diagrams_are_pictures(site: Path) -> None:
    """Drawn beforehand, so that no page needs a script for them."""
    for name in ("index.html", "architecture.html"):
        page = (site / name).read_text(encoding="utf-8")
        assert "images/diagrams/" in page
        assert "flowchart" not in page


@pytest.mark.browser
def test_a_browser_asks_nobody_else(site: Path) -> None:
    """Neither for a page, nor for a diagram, nor for what its scripts load."""
    from dashboard.browser import chromium

    asked: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index.html", "architecture.html", "stack.html"):
            page.goto((site / name).as_uri(), wait_until="networkidle")
    assert [url for url in asked if not url.startswith("file:")] == []
    assert any(url.endswith(".svg") for url in asked)
