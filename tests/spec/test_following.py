"""What a stack follows, read from a text that may be of another version."""

from __future__ import annotations

import pytest

from genesis_stack.spec.following import gitops_of
from genesis_stack.spec.problems import InvalidStackError

UNKNOWN = "api_version: genesis.stack/v9\nmodels: [what, a, later, version, has]\nlater: {key: 1}\n"


def test_the_section_is_read_whatever_stands_around_it() -> None:
    """A later version's stack still says where the commit is that this one can read."""
    found = gitops_of(UNKNOWN + "gitops: {repository: 'https://git.example/s.git', branch: main}\n", "it")
    assert found is not None
    assert (found.repository, found.branch) == ("https://git.example/s.git", "main")
    assert gitops_of(UNKNOWN, "it") is None


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (f"{UNKNOWN}gitops: {{branch: [main]}}\n", {(4, 1), (4, 18)}),
        (f"{UNKNOWN}gitops: {{branch: a, branch: b}}\n", {(4, 1), (4, 21)}),
        ("- a list\n", {(1, 1)}),
    ],
)
def test_a_section_that_cannot_be_read_is_told_at_its_lines(text: str, places: set[tuple[int, int]]) -> None:
    """And as what it is called by those who ask."""
    with pytest.raises(InvalidStackError) as caught:
        gitops_of(text, "the stack in force")
    assert {(problem.line, problem.column) for problem in caught.value.problems} == places
    assert {problem.file for problem in caught.value.problems} == {"the stack in force"}


def test_a_mistyped_key_of_the_section_is_guessed() -> None:
    """As in a stack that is read whole."""
    with pytest.raises(InvalidStackError) as caught:
        gitops_of(f"{UNKNOWN}gitops: {{repository: 'https://git.example/s.git', brunch: main}}\n", "it")
    assert [problem.hint for problem in caught.value.problems if "brunch" in problem.path] == [
        "did you mean branch?"
    ]


def test_what_no_file_holds_is_told_too() -> None:
    """Half a surrogate pair, which a stored text may have."""
    with pytest.raises(InvalidStackError, match="UTF-8"):
        gitops_of("gitops: \ud800\n", "it")
