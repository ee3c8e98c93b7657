"""The one door through which the operator's side runs other programs."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genesis_stack.errors import GenesisError


@dataclass(frozen=True, slots=True)
class Completed:
    """What a finished program left behind."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class ProcessError(GenesisError):
    """A program failed or cannot be run; the message holds a command that can be pasted into a shell."""

    def __init__(self, completed: Completed) -> None:
        tail = (completed.stderr or completed.stdout).strip().splitlines()[-20:]
        super().__init__(
            f"{shlex.join(completed.argv)}\n  exited with {completed.returncode}"
            + "".join(f"\n  {line}" for line in tail)
        )
        self.completed = completed


class NotTextError(GenesisError):
    """A program wrote what is not UTF-8 where its text is not only shown."""


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    input_text: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    exact: bool = False,
) -> Completed:
    """Run a program to its end and return its output as text, which is UTF-8.

    Args:
        argv: program and arguments; never passed to a shell.
        check: raise ProcessError unless the exit status is 0.
        input_text: what the program reads on standard input.
        env: the whole environment; None inherits ours.
        timeout: seconds after which the program is killed and counted as failed with status 124.
        exact: refuse standard output with anything in it that is not UTF-8; else that becomes U+FFFD.

    Raises:
        ProcessError: the program is missing (127), cannot be run (126), took too long (124), or failed
            while `check` is set.
        NotTextError: it wrote what is not UTF-8 while `exact` is set.
    """
    words = tuple(str(word) for word in argv)
    given = input_text.encode() if input_text is not None else None
    try:
        with _starting(words):
            done = subprocess.run(
                words, input=given, env=env, timeout=timeout, capture_output=True, check=False
            )
    except subprocess.TimeoutExpired:
        raise ProcessError(Completed(words, 124, "", f"no end after {timeout:g} s")) from None
    try:
        stdout = _text(done.stdout, "strict" if exact else "replace")
    except UnicodeDecodeError:
        raise NotTextError(f"{shlex.join(words)}\n  wrote what is not UTF-8") from None
    completed = Completed(words, done.returncode, stdout, _text(done.stderr, "replace"))
    if check and completed.returncode != 0:
        raise ProcessError(completed)
    return completed


def stream(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a program and yield its lines of output as they come; it ends when the iterator is closed.

    Raises:
        ProcessError: the program is missing (127) or cannot be run (126).
    """
    words = tuple(str(word) for word in argv)
    with _starting(words):
        running = subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8", errors="replace", env=env)
    with running:
        assert running.stdout is not None  # noqa: S101 -- PIPE was asked for
        try:
            for line in running.stdout:
                yield line.rstrip("\n")
        finally:
            running.terminate()


def detach(argv: Sequence[str | Path], *, log: Path, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a program that outlives us: own session, no terminal, output appended to `log`.

    It inherits the descriptors `pass_fds` under their numbers.

    Raises:
        ProcessError: the program is missing (127) or cannot be run (126).
    """
    words = tuple(str(word) for word in argv)
    with log.open("ab") as output, _starting(words):
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )


@contextmanager
def _starting(words: tuple[str, ...]) -> Iterator[None]:
    """Say of a program that cannot be started what a shell would, with its status.

    Python names the program only where exec(2) itself failed. Without a name there was no process or pipe to
    be had, which says nothing of the program and stays an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        missing = isinstance(error, FileNotFoundError)
        status, why = (127, "command not found") if missing else (126, error.strerror)
        raise ProcessError(Completed(words, status, "", f"{words[0]}: {why}")) from None


def _text(said: bytes, errors: str) -> str:
    return said.decode("utf-8", errors).replace("\r\n", "\n").replace("\r", "\n")
