"""How problems are told: each with its place, all of them counted, nothing that a terminal acts upon."""

from __future__ import annotations

import pytest

from genesis_stack.spec.problems import (
    MOST_PROBLEMS,
    InvalidStackError,
    Problem,
    did_you_mean,
    show_path,
    show_text,
)

PLACED = Problem("stack.yaml", 3, 7, "models.a", "is wrong", "mend it")


def test_a_problem_is_told_with_what_is_known_of_its_place() -> None:
    """As compilers do, so that editors can jump there; a file that cannot be read has no lines."""
    assert str(PLACED).splitlines() == ["stack.yaml:3:7: models.a: is wrong", "    hint: mend it"]
    assert str(Problem("stack.yaml", 0, 0, "", "is a directory")) == "stack.yaml: is a directory"
    assert str(Problem("stack.yaml", 1, 2, "", "is not YAML")) == "stack.yaml:1:2: is not YAML"


@pytest.mark.parametrize(
    ("number", "told"),
    [(1, "1 problem"), (2, "2 problems"), (MOST_PROBLEMS - 1, "999 problems"), (MOST_PROBLEMS, "maybe more")],
)
def test_the_first_line_counts_the_problems(number: int, told: str) -> None:
    """And tells when the search ended before the file did."""
    error = InvalidStackError([PLACED] * number)
    head, *lines = str(error).splitlines()
    assert head.startswith("stack.yaml")
    assert head.endswith(told)
    assert len(lines) == 2 * number
    assert error.hint


def test_a_short_text_is_shown_whole_and_a_long_one_cut() -> None:
    """What stands beside a path fits into its line, and draws nothing."""
    assert show_text("x" * 40) == '"' + "x" * 40 + '"'
    assert show_text("x" * 41) == '"' + "x" * 39 + '…"'
    assert show_text("a\x1b[2J") == r'"a\x1b[2J"'
    assert show_path(("models", "a b", "tags", 0)) == 'models."a b".tags[0]'


def test_the_nearest_name_is_guessed_or_all_are_listed() -> None:
    """A guess must be near; a list must fit a line or two."""
    names = [f"name-{number:02}" for number in range(26)]
    assert did_you_mean("thraeds", ["threads", "thread_pool", "context"]) == "did you mean threads?"
    assert did_you_mean("q", names[:25]) == f"choose from: {', '.join(names[:25])}"
    assert did_you_mean("q", names) == f"choose from: {', '.join(names[:25])}, …"
    assert did_you_mean("anything", []) is None
    longest = "t" * 64
    assert did_you_mean(longest, [f"{longest}s"]) == f"did you mean {longest}s?"
    long = "threads" * 10
    assert did_you_mean(long, [f"{long}x"]) == f"choose from: {long}x"
