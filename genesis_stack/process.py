"""The one door through which the operator's side runs other programs."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
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
    """A program failed or is missing; the message holds a command that can be pasted into a shell."""

    def __init__(self, completed: Completed) -> None:
        tail = (completed.stderr or completed.stdout).strip().splitlines()[-20:]
        super().__init__(
            f"{shlex.join(completed.argv)}\n  exited with {completed.returncode}"
            + "".join(f"\n  {line}" for line in tail)
        )
        self.completed = completed


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    input_text: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> Completed:
    """Run a program to its end and return its output as text.

    Args:
        argv: program and arguments; never passed to a shell.
        check: raise ProcessError unless the exit status is 0.
        input_text: what the program reads on standard input.
        env: the whole environment; None inherits ours.
        timeout: seconds after which the program is killed and counted as failed with status 124.

    Raises:
        ProcessError: the program is missing (127), took too long (124), or failed while `check` is set.
    """
    words = tuple(str(word) for word in argv)
    try:
        done = subprocess.run(
            words, input=input_text, env=env, timeout=timeout, capture_output=True, text=True, check=False
        )
        completed = Completed(words, done.returncode, done.stdout, done.stderr)
    except FileNotFoundError:
        raise ProcessError(Completed(words, 127, "", f"{words[0]}: command not found")) from None
    except subprocess.TimeoutExpired:
        raise ProcessError(Completed(words, 124, "", f"no end after {timeout:g} s")) from None
    if check and completed.returncode != 0:
        raise ProcessError(completed)
    return completed


def stream(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a program and yield its lines of output as they come; it ends when the iterator is closed.

    Raises:
        ProcessError: the program is missing.
    """
    words = tuple(str(word) for word in argv)
    try:
        running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, errors="replace", env=env)
    except FileNotFoundError:
        raise ProcessError(Completed(words, 127, "", f"{words[0]}: command not found")) from None
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
        ProcessError: the program is missing.
    """
    words = tuple(str(word) for word in argv)
    with log.open("ab") as output:
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except FileNotFoundError:
            raise ProcessError(Completed(words, 127, "", f"{words[0]}: command not found")) from None
