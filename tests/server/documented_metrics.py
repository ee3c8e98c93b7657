"""The metrics of a server as docs/metrics.md has them."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/metrics.md"


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Name to type and labels, from the page's tables of what a server exports."""
    servers = PAGE.read_text(encoding="utf-8").partition("\n## The host\n")[0]
    rows = re.findall(r"^\| `([\w:]+)` \| (\w+) \| (.*?) \|", servers, re.MULTILINE)
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
