"""The host that is looked at, whichever way testinfra reaches it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

from genesis_stack.errors import GenesisError


class Result(Protocol):
    """What testinfra tells of a finished command."""

    rc: int
    stdout: str
    stderr: str


class Connection(Protocol):
    """What is used of `testinfra.host.Host`."""

    def run(self, command: str, *args: str) -> Result:
        """Run a shell command in which each %s is one of the quoted `args`."""


class UnreachableError(GenesisError):
    """The host cannot be asked, or does not answer as expected."""


@dataclass(frozen=True, slots=True)
class Remote:
    """Runs the programs of `on_host/` there; nothing is left behind."""

    connection: Connection

    def shell(self, program: str, *words: str, check: bool = True) -> Result:
        """Run a program of `on_host/` in sh."""
        return self._run(["sh", "-c", on_host(program), program, *words], check=check)

    def run(self, argv: Sequence[str], *, check: bool = True) -> Result:
        """Run a program with these words."""
        return self._run(argv, check=check)

    def python(self, interpreter: str, program: str, *words: str) -> Any:
        """Run a program of `on_host/` in the host's own environment; what it prints is JSON."""
        done = self._run([interpreter, "-I", "-c", on_host(program), *words], check=True)
        return parse_json(done.stdout, program)

    def _run(self, argv: Sequence[str], *, check: bool) -> Result:
        try:
            done = self.connection.run(" ".join(["%s"] * len(argv)), *argv)
        except (OSError, RuntimeError) as error:  # testinfra tells a lost connection by RuntimeError
            said = getattr(error.args[0] if error.args else None, "stderr", None) or error
            raise UnreachableError(
                f"the host cannot be reached: {str(said).strip()}",
                hint="try the same connection with ssh, docker or ansible itself",
            ) from error
        if check and done.rc != 0:
            raise UnreachableError(
                f"{argv[0]} on the host ended with {done.rc}: {done.stderr.strip()[-500:]}"
            )
        return done


def on_host(program: str) -> str:
    """The text of a program that runs on the host."""
    return (files("genesis_stack.verify") / "on_host" / program).read_text()


def parse_json(text: str, program: str) -> Any:
    """What a program of `on_host/` printed.

    Raises:
        UnreachableError: it printed something else.
    """
    try:
        return json.loads(text)
    except ValueError:
        raise UnreachableError(f"{program} on the host answered: {text.strip()[:500]!r}") from None
