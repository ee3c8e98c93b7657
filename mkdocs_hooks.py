"""What the site needs beyond the pages, which are written for readers of the repository.

Diagrams are shown as pictures that `make diagrams` has drawn, so that the site needs no script for them.
The README is the home page and CHANGELOG.md a page. A link to a folder of pages leads to a list of them. One
to a file outside of docs/ is shown as its path, since the site has no such file; the file must exist.
"""

from __future__ import annotations

import logging
import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parent
DOCS: Final = ROOT / "docs"
BESIDE: Final = {"index.md": ROOT / "README.md", "changelog.md": ROOT / "CHANGELOG.md"}
"""Pages of the site that stand elsewhere in the repository."""
LISTS: Final = {"adr": "Decisions", "runbooks": "Runbooks"}
"""Folders that get a page with the titles of their pages."""
LINK: Final = re.compile(r"(?P<head>!?\[(?P<text>[^\]\[]*)\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")

FENCE: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)

log = logging.getLogger("mkdocs.hooks")


def on_config(config: MkDocsConfig) -> None:
    """Put every page of the listed folders into the navigation, behind their list."""
    for section in config.nav or []:
        for entries in section.values():
            if isinstance(entries, list):
                for entry in entries:
                    for name, path in entry.items():
                        if (folder := str(path).removesuffix("/index.md")) in LISTS:
                            entry[name] = [path, *(str(page.relative_to(DOCS)) for page in pages_of(folder))]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that stand elsewhere, and the lists."""
    for uri, path in BESIDE.items():
        files.append(File.generated(config, uri, content=path.read_text(encoding="utf-8")))
    for folder, title in LISTS.items():
        lines = [f"- [{title_of(page)}]({page.name})" for page in pages_of(folder)]
        files.append(
            File.generated(config, f"{folder}/index.md", content=f"# {title}\n\n" + "\n".join(lines))
        )


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Turn links as the repository has them into links of the site."""
    uri = page.file.src_uri
    source = BESIDE.get(uri, DOCS / uri)

    def turned(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / link["path"]))
        if not target.exists():
            return link[0] if source.parent == DOCS / Path(uri).parent else lost(uri, link)
        inside = within_site(target)
        if inside is None:
            return (
                f"{link['text']} (`{target.relative_to(ROOT)}`)" if "`" not in link["text"] else link["text"]
            )
        return f"{link['head']}{os.path.relpath(inside, Path(uri).parent)}{link['anchor'] or ''})"

    return "".join(
        drawn(part, uri) if part.startswith("```") else LINK.sub(turned, part)
        for part in FENCE.split(markdown)
    )


def drawn(fence: str, uri: str) -> str:
    """A diagram as its picture, any other block as it is."""
    head, _, body = fence.partition("\n")
    if head != "```mermaid":
        return fence
    picture = os.path.relpath(picture_of(body.removesuffix("```")), Path(uri).parent)
    return f"![Diagram]({picture})"


def picture_of(diagram: str) -> str:
    """Where the picture of a diagram is, below docs/: a changed diagram has another one."""
    return f"images/diagrams/{sha256(diagram.strip().encode()).hexdigest()[:12]}.svg"


def within_site(target: Path) -> str | None:
    """Where the site has what stands at `target` in the repository."""
    for uri, path in BESIDE.items():
        if target == path:
            return uri
    if not target.is_relative_to(DOCS):
        return None
    inside = target.relative_to(DOCS)
    return f"{inside}/index.md" if target.is_dir() else str(inside)


def lost(uri: str, link: re.Match[str]) -> str:
    """Warn of a link that leads nowhere, which a strict build takes for an error."""
    log.warning("%s links to %s, which does not exist", uri, link["path"])
    return link[0]


def pages_of(folder: str) -> list[Path]:
    """The pages of one folder, in order."""
    return sorted(path for path in (DOCS / folder).glob("*.md") if path.name != "index.md")


def title_of(page: Path) -> str:
    """Its first heading."""
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
