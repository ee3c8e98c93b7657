"""The end of a log, and its growth, each line once and whole."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PosixPath
from typing import IO, Any

import pytest

from genesis_stack.backends import logfiles
from genesis_stack.backends.logfiles import follow, tail


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "POLL_SECONDS", 0.01)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three lines."""
    path = tmp_path / "a.log"
    path.write_text("one\ntwo\nthree\n")
    return path


def add(path: Path, text: str) -> None:
    """As a server writes it."""
    with path.open("a") as file:
        file.write(text)


def some(lines: Iterator[str], count: int) -> list[str]:
    """The next so many."""
    return list(islice(lines, count))


def test_the_end_of_each_file_is_shown_one_after_the_other(log: Path, tmp_path: Path) -> None:
    """A file that is not there yet is empty."""
    (other := tmp_path / "b.log").write_text("four\n")
    assert tail([log, tmp_path / "missing.log", other], 2) == ["two", "three", "four"]
    assert tail([log], 0) == []


def test_the_end_holds_the_line_that_is_still_being_written(log: Path) -> None:
    """The last words of a program that died in the middle of one."""
    add(log, "fou")
    assert tail([log], 2) == ["three", "fou"]


def test_only_the_end_of_a_large_file_is_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever number of lines is asked for."""
    monkeypatch.setattr(logfiles, "TAIL_BYTES", 10)
    assert tail([log], 100) == ["two", "three"]


def test_bytes_that_are_no_text_are_shown_all_the_same(log: Path) -> None:
    """And the separators of Unicode, which JSON leaves as they are, end no line."""
    log.write_bytes(b"\xff!\n" + "a\u2028b\n".encode())
    assert tail([log], 2) == ["\ufffd!", "a\u2028b"]


def test_new_lines_follow_the_last_ones(log: Path) -> None:
    """In their order."""
    lines = follow([log], 1)
    assert some(lines, 1) == ["three"]
    add(log, "four\nfive\n")
    assert some(lines, 2) == ["four", "five"]


class Growing(PosixPath):
    """A log to which a line is added whenever somebody is about to read it."""

    def open(self, *args: Any, **kwargs: Any) -> IO[Any]:  # type: ignore[override]  # as it is given on
        """Add one and open."""
        with Path(self).open("a") as file:
            file.write(f"line {self.stat().st_size}\n")
        return Path(self).open(*args, **kwargs)


def test_a_line_that_comes_while_the_end_is_read_is_shown_once(tmp_path: Path) -> None:
    """Neither twice nor never."""
    path = Growing(tmp_path / "a.log")
    path.write_text("first\n")
    lines = follow([path], 10)
    add(tmp_path / "a.log", "before\n")
    shown = some(lines, 3)
    add(tmp_path / "a.log", "last\n")
    assert [*shown, *some(lines, 1)] == (tmp_path / "a.log").read_text().splitlines()


def test_a_line_that_is_still_being_written_is_shown_when_it_is_whole(log: Path, tmp_path: Path) -> None:
    """Also the one at the end when the following begins."""
    add(log, "fo")
    lines = follow([log, tmp_path / "b.log"], 1)
    assert some(lines, 1) == ["three"]
    add(log, "ur\nfi")
    assert some(lines, 1) == ["four"]
    add(tmp_path / "b.log", "other\n")
    assert some(lines, 1) == ["other"]
    add(log, "ve\n")
    assert some(lines, 1) == ["five"]


def test_a_file_that_appears_later_is_shown_from_its_beginning(tmp_path: Path, log: Path) -> None:
    """As of a server that has not written yet."""
    lines = follow([tmp_path / "late.log", log], 1)
    assert some(lines, 1) == ["three"]
    add(tmp_path / "late.log", "one\ntwo\n")
    assert some(lines, 2) == ["one", "two"]


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(log: Path) -> None:
    """What was added between the last look and the rotation is not lost, not even half a line."""
    lines = follow([log], 1)
    assert some(lines, 1) == ["three"]
    add(log, "four\nfi")
    log.rename(log.with_suffix(".log.1"))
    add(log, "six\n")
    assert some(lines, 3) == ["four", "fi", "six"]
