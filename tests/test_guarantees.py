from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/guarantees.md"
PROMISES = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text())


@pytest.mark.parametrize(("file", "name"), PROMISES)
def test_every_guarantee_names_a_test_that_exists(file: str, name: str) -> None:
    """A promise whose test is gone is no promise."""
    tree = ast.parse((ROOT / file).read_text())
    found = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in found


def test_every_line_of_the_page_names_one() -> None:
    """No promise stands there without its test."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(PROMISES) == len([row for row in rows if not row.startswith("| promise")])
