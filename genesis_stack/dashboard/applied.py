"""What is applied on this host: the servers to look at, what was promised of them, and how applies went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genesis_stack.backends import Service
from genesis_stack.reconcile.declared import declared
from genesis_stack.reconcile.generations import Generations
from genesis_stack.spec.model import Stack


@dataclass(frozen=True, slots=True)
class Applied:
    """The current generation; nothing is applied where `generation` is None.

    `stack` is what it was made from, None where this version of genesis-stack cannot read that any more.
    """

    generation: int | None
    name: str
    services: Mapping[str, Service]
    stack: Stack | None


@dataclass(frozen=True, slots=True)
class Apply:
    """One apply and how it ended; `finished` is a UNIX time, None while it is under way or was cut short."""

    generation: int
    models: tuple[str, ...]
    outcome: str
    finished: float | None
    reason: str


def read_applied(generations: Generations) -> Applied:
    """The current generation.

    Raises:
        GenerationError: it is missing or damaged.
    """
    number = generations.current()
    desired = generations.load(number)
    return Applied(number, desired.name, desired.services, declared(desired))


def recent_applies(generations: Generations, most: int) -> tuple[Apply, ...]:
    """The latest applies, newest first."""
    return tuple(_apply(generations, number) for number in reversed(generations.numbers()[-most:]))


def _apply(generations: Generations, number: int) -> Apply:
    models = tuple(generations.info(number).services)
    result = generations.result(number)
    if result is None:
        return Apply(number, models, "unfinished", None, "")
    return Apply(number, models, result.outcome, result.finished, result.reason)
