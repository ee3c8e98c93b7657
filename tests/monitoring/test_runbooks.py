from __future__ import annotations

import re
from pathlib import Path

import pytest

from genesis_stack.render.monitoring.rules import RUNBOOKS
from genesis_stack.spec.alerts import BUILT_IN

PAGES = Path(__file__).parents[2] / RUNBOOKS


@pytest.mark.parametrize("alert", sorted(BUILT_IN))
def test_every_alert_has_a_page_that_says_what_to_do(alert: str) -> None:
    """What it means, whom it hurts, commands that show more, and ways out."""
    page = (PAGES / f"{alert}.md").read_text()
    parts = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=\n## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert list(parts) == ["Meaning", "Impact", "Diagnosis", "Fix"]
    assert page.startswith(f"# {alert}\n")
    assert all(text.strip() for text in parts.values())
    assert re.search(r"```sh\n\S.*\n", parts["Diagnosis"])
    assert re.search(r"^- \S", parts["Fix"], re.MULTILINE)


def test_no_page_is_about_an_alert_that_is_gone() -> None:
    """And links between pages lead somewhere."""
    assert {path.stem for path in PAGES.glob("*.md")} == set(BUILT_IN)
    for path in PAGES.glob("*.md"):
        for link in re.findall(r"\]\(([^)]+)\)", path.read_text()):
            assert (PAGES / link).exists(), f"{path.name}: {link}"
