"""Other programs, run through the one door: what they write, and what is said of those that cannot be run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from genesis_stack.process import NotTextError, ProcessError, detach, run, stream

BYTES = "import sys; sys.stdout.buffer.write(b'caf\\xe9\\n'); sys.stderr.buffer.write(b'na\\xefve')"
"""A program that writes Latin-1 on both streams."""


def test_what_is_no_text_is_shown_all_the_same() -> None:
    """One bad byte in a log hides none of the rest."""
    done = run([sys.executable, "-c", BYTES])
    assert (done.stdout, done.stderr) == ("caf\N{REPLACEMENT CHARACTER}\n", "na\N{REPLACEMENT CHARACTER}ve")
    assert list(stream([sys.executable, "-c", BYTES])) == ["caf\N{REPLACEMENT CHARACTER}"]


def test_what_must_be_text_is_refused_if_it_is_none() -> None:
    """With the command that wrote it; what it says of itself on the other stream is only shown."""
    with pytest.raises(NotTextError, match="not UTF-8"):
        run([sys.executable, "-c", BYTES], exact=True)
    assert run(["sh", "-c", r"printf 'na\357ve' >&2; echo café"], exact=True).stdout == "café\n"


def starting(way: Callable[[Sequence[str | Path]], object], program: Path) -> ProcessError:
    """What is said of a program that does not start."""
    with pytest.raises(ProcessError) as caught:
        way([program])
    return caught.value


WAYS: dict[str, Callable[[Sequence[str | Path]], object]] = {
    "run": run,
    "stream": lambda argv: list(stream(argv)),
    "detach": lambda argv: detach(argv, log=Path(argv[0]).with_name("log")),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_cannot_be_run_is_told_as_by_a_shell(tmp_path: Path, way: str) -> None:
    """126 for what is there and no program that we may run, 127 for what is missing."""
    program = tmp_path / "program"
    missing = starting(WAYS[way], program)
    assert (missing.completed.returncode, "command not found" in str(missing)) == (127, True)
    program.write_bytes(b"\0")
    barred = starting(WAYS[way], program)
    assert (barred.completed.returncode, "Permission denied" in str(barred)) == (126, True)
    program.chmod(0o755)
    garbled = starting(WAYS[way], program)
    assert (garbled.completed.returncode, "Exec format error" in str(garbled)) == (126, True)


def test_a_program_that_takes_too_long_is_killed() -> None:
    """And counts as failed with 124, as by timeout(1)."""
    with pytest.raises(ProcessError, match=r"no end after 0\.1 s") as caught:
        run(["sleep", "60"], timeout=0.1)
    assert caught.value.completed.returncode == 124
