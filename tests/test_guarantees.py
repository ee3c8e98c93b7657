from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/guarantees.md"
THREATS = ROOT / "docs/security.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PROMISES = NAMED.findall(PAGE.read_text())
DEFENCES = sorted(set(NAMED.findall(THREATS.read_text())))


@pytest.mark.parametrize(("file", "name"), [*PROMISES, *DEFENCES])
def test_every_guarantee_names_a_test_that_exists(file: str, name: str) -> None:
    """A promise whose test is gone is no promise."""
    tree = ast.parse((ROOT / file).read_text())
    found = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in found


def test_every_line_of_the_page_names_one() -> None:
    """No promise stands there without its test."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(PROMISES) == len([row for row in rows if not row.startswith("| promise")])


def test_every_threat_names_what_proves_its_defence() -> None:
    """At least one test a row."""
    table = THREATS.read_text().partition("| threat |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) > 20
    assert [row for row in rows if not NAMED.search(row)] == []
