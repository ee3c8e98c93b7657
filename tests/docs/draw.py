"""Draw the diagrams of all pages into docs/images/diagrams, with Mermaid in a headless Chromium.

    make diagrams

The site shows these pictures: it needs no script, and nobody's. A test fails when a diagram has none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from docs.pages import DOCS, blocks
from mkdocs_hooks import picture_of

DRAW: Final = """async text => {
    const size = {htmlLabels: false, useMaxWidth: false};
    mermaid.initialize({
        startOnLoad: false, theme: "neutral", fontFamily: "sans-serif", deterministicIds: true,
        htmlLabels: false, flowchart: size, sequence: size,
    });
    return (await mermaid.render("diagram", text)).svg;
}"""


def draw(script: Path) -> None:
    """One picture a diagram, and none that no page has any more."""
    from dashboard.browser import chromium

    texts = {DOCS / picture_of(block.text): block.text for block in blocks("mermaid")}
    with chromium() as browser:
        page = browser.new_page()
        page.set_content("<!doctype html><body></body>")
        page.add_script_tag(path=script)
        for picture, text in texts.items():
            picture.parent.mkdir(parents=True, exist_ok=True)
            svg = page.evaluate(DRAW, text).replace("<svg ", '<svg style="background:#fff" ', 1)
            picture.write_text(svg + "\n", encoding="utf-8")
    for picture in (DOCS / picture_of("")).parent.glob("*.svg"):
        if picture not in texts:
            picture.unlink()


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
