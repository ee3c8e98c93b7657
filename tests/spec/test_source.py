"""What is read of a stack file, and what is told of one that cannot be read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from genesis_stack.spec.problems import MOST_PROBLEMS, InvalidStackError, Problem
from genesis_stack.spec.source import MOST_BYTES, locate, read


def refusal(path: Path | str) -> Problem:
    """The one problem of a file that cannot be read."""
    with pytest.raises(InvalidStackError) as caught:
        read(path)
    (problem,) = caught.value.problems
    return problem


def test_a_file_of_the_greatest_size_is_read_whole(tmp_path: Path) -> None:
    """A byte more is no stack, however large the file is."""
    path = tmp_path / "stack.yaml"
    path.write_text("#" * MOST_BYTES)
    assert len(read(path).text) == MOST_BYTES
    path.write_text("#" * (MOST_BYTES + 1))
    assert "larger than 1024 KiB" in refusal(path).what
    assert refusal(path).path == ""
    os.truncate(path, 2**40)
    assert "larger" in refusal(path).what


def test_what_cannot_be_read_is_told_without_a_line_and_with_a_reason(tmp_path: Path) -> None:
    """There is no text to point at, and the reasons differ in what to do about them."""
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    told = {
        "a stack": refusal(tmp_path / "missing\x1b.yaml"),
        "give the file in it": refusal(tmp_path),
        "regular": refusal(tmp_path / "pipe"),
        "circle": refusal(tmp_path / "circle"),
        "too long": refusal(tmp_path / ("x" * 300)),
        "no such file": refusal("nul\0.yaml"),
        os.strerror(errno.EIO): refusal("/proc/self/mem"),  # whatever else a system says
    }
    for words, problem in told.items():
        assert words in f"{problem.what} {problem.hint}", problem
        assert (problem.line, problem.column, problem.path) == (0, 0, "")
        assert problem.file.isprintable()
    assert told["a stack"].file.endswith("/missing?.yaml")


def test_characters_are_located_by_line_and_column() -> None:
    """Both count from 1, as editors do."""
    text = "\nab\n\ncd"
    assert [locate(text, offset) for offset in range(len(text))] == [
        (1, 1),
        (2, 1),
        (2, 2),
        (2, 3),
        (3, 1),
        (4, 1),
        (4, 2),
    ]
    assert locate("ab", 1) == (1, 2)


def test_a_byte_that_is_no_text_is_told_at_its_place(tmp_path: Path) -> None:
    """Characters are counted, not bytes, as an editor counts them."""
    path = tmp_path / "stack.yaml"
    path.write_bytes("é: \xff".encode("latin-1").replace(b"\xe9", "é".encode()))
    problem = refusal(path)
    assert (problem.line, problem.column, problem.path) == (1, 4, "")
    assert "0xff" in problem.what


def test_a_file_full_of_what_cannot_be_seen_is_told_within_bounds(tmp_path: Path) -> None:
    """The error stays one that can be read."""
    path = tmp_path / "stack.yaml"
    path.write_text("\x07" * (MOST_PROBLEMS + 1))
    with pytest.raises(InvalidStackError) as caught:
        read(path)
    assert len(caught.value.problems) == MOST_PROBLEMS


@pytest.mark.parametrize(("char", "words"), [("\x07", "control"), ("\u202e", "direction")])
def test_characters_that_cannot_be_seen_are_told_apart(tmp_path: Path, char: str, words: str) -> None:
    """One turns the text around that a reviewer sees, the other is only noise."""
    path = tmp_path / "stack.yaml"
    path.write_text(f"name: a\n# b{char}\n")
    problem = refusal(path)
    assert (problem.line, problem.column, problem.path) == (2, 4, "")
    assert words in problem.what
