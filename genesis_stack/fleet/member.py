"""The hosts of a stack as whoever asks them needs them: name, address, and whether it is this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.fleet.ssh import AwayError
from genesis_stack.modelstore.here import is_machine
from genesis_stack.modelstore.host import LocalHost
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import did_you_mean

MOST_AT_ONCE: Final = 16
"""Hosts that are asked at the same time; each is a process here."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Member:
    """One host of the stack."""

    name: str
    address: str | None
    here: bool

    def reached_at(self) -> str:
        """Its address.

        Raises:
            AwayError: the stack gives it none.
        """
        if self.address is None:
            raise AwayError(
                f"host {self.name} has no address in the stack",
                hint=f"add `address: ssh://root@{self.name}` to hosts.{self.name}",
            )
        return self.address


def members(stack: Stack, machine: LocalHost) -> tuple[Member, ...]:
    """Every host of the stack.

    Raises:
        GenesisError: it names none.
    """
    if not stack.hosts:
        raise GenesisError(
            f"stack {stack.name} names no hosts",
            hint="leave --all and --host away: it is this machine's",
            exit_code=ExitCode.USAGE,
        )
    return tuple(
        Member(name, entry.address, is_machine(name, entry, machine)) for name, entry in stack.hosts.items()
    )


def member(stack: Stack, name: str, machine: LocalHost) -> Member:
    """The host of this name.

    Raises:
        GenesisError: the stack names no such host.
    """
    for one in members(stack, machine):
        if one.name == name:
            return one
    hint = did_you_mean(name, stack.hosts) or f"it names: {', '.join(stack.hosts)}"
    raise GenesisError(f"stack {stack.name} names no host {name!r}", hint=hint, exit_code=ExitCode.USAGE)


def each(asked: Sequence[Member], ask: Callable[[Member], Answer]) -> list[Answer | GenesisError]:
    """What every host answers, asked at the same time; an error in the place of one that cannot be asked."""

    def guarded(one: Member) -> Answer | GenesisError:
        try:
            return ask(one)
        except GenesisError as error:
            return error

    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:
        return list(pool.map(guarded, asked))
