"""The pages as a reader has them, and the fenced blocks in them with what their authors say of running them.

Above a block may stand, in an HTML comment, what a test does with it; without one it is run:

    <!-- test: skip, WHY -->                                  never run
    <!-- test: host, WHY -->                                  run by `make test-host` alone
    <!-- test: elsewhere, tests/a/test_b.py::test_c -->       that test runs it
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
RUNBOOKS: Final = DOCS / "runbooks"

_BLOCK: Final = re.compile(
    r"(?:^<!-- test: (?P<how>\w+)(?:, (?P<what>.+?))? -->\n\n?)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `how` is `run`, `host`, `skip` or `elsewhere`, `what` the reason or the test."""

    page: Path
    line: int
    language: str
    text: str
    how: str
    what: str

    @property
    def place(self) -> str:
        """Where it stands, for messages and test ids."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Its lines, continued ones joined, without comments and blank ones."""
        joined = self.text.replace("\\\n", " ")
        bare = (re.sub(r"(^|\s)#\s.*", "", line).strip() for line in joined.splitlines())
        return [line for line in bare if line and line != "#"]


def blocks(*languages: str, pages: tuple[Path, ...] = PAGES) -> list[Block]:
    """Every block in one of `languages`."""
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for one in _BLOCK.finditer(text):
            if one["language"] in languages:
                line = text[: one.start("language")].count("\n") + 1
                how, what = one["how"] or "run", one["what"] or ""
                found.append(Block(page, line, one["language"], one["text"], how, what))
    return found
