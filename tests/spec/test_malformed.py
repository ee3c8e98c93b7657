"""Stacks that are wrong, each with its problems written into it: `#! line:column path | words`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genesis_stack.errors import ExitCode
from genesis_stack.spec.load import load
from genesis_stack.spec.problems import InvalidStackError, Problem

STACKS = sorted((Path(__file__).parent / "malformed").glob("*.yaml"))
EXPECTED = re.compile(r"^#! (\d+):(\d+) (.*?)(?: \| ?(.*))?$", re.MULTILINE)


def place(problem: Problem) -> tuple[int, int, str]:
    """Where a problem is said to be."""
    return problem.line, problem.column, problem.path or "-"


@pytest.mark.parametrize("stack", STACKS, ids=lambda path: path.stem)
def test_every_problem_is_named_with_its_line_and_column_in_one_pass(stack: Path) -> None:
    """What the file says is wrong with it is found, all of it and nothing else, each with what to do."""
    expected = EXPECTED.findall(stack.read_text())
    with pytest.raises(InvalidStackError) as caught:
        load(stack)
    found = caught.value.problems
    assert sorted(map(place, found)) == sorted((int(row), int(col), path) for row, col, path, _ in expected)
    for row, column, path, words in expected:
        said = [f"{p.what} {p.hint}" for p in found if place(p) == (int(row), int(column), path)]
        assert any(words in text for text in said), (words, said)
    assert caught.value.exit_code is ExitCode.INVALID_CONFIG
    assert {problem.file for problem in found} == {str(stack)}
    assert [str(problem) for problem in found if not problem.hint or "None" in str(problem)] == []
