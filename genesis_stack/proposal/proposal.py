"""What to serve on a machine: for each wish the best model that fits, or the sum that shows why none does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.modelstore.known import KNOWN
from genesis_stack.modelstore.memory import Shape
from genesis_stack.modelstore.quantity import declare_size, show_size
from genesis_stack.modelstore.shapes import shape
from genesis_stack.proposal.catalogue import CATALOGUE, Offer
from genesis_stack.proposal.fitting import Fitted, fit_all, least, reserve, room, share_cpus
from genesis_stack.proposal.machine import Machine


@dataclass(frozen=True, slots=True)
class Wish:
    """What someone asked for: a name for the stack, one choice of models a task, users at the same time."""

    name: str
    choices: tuple[tuple[Offer, ...], ...]
    users: int
    watched: bool


@dataclass(frozen=True, slots=True)
class Served:
    """A model as it is proposed."""

    fitted: Fitted
    port: int
    cpus: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """A stack before it is written; `passed_over` are better models and why they were not taken."""

    name: str
    machine: Machine
    users: int
    watched: bool
    reserve: int
    models: tuple[Served, ...]
    passed_over: tuple[str, ...] = field(default=())


class NothingFitsError(GenesisError):
    """The machine is too small for what was asked; the message holds the sums."""

    exit_code = ExitCode.INVALID_CONFIG


def choices(tasks: Sequence[str]) -> tuple[tuple[Offer, ...], ...]:
    """The models of the catalogue for each task, the better first.

    Raises:
        GenesisError: the catalogue has none for a task.
    """
    found = tuple(tuple(offer for offer in CATALOGUE if offer.task == task) for task in tasks)
    if not all(found):
        task = next(task for task, offers in zip(tasks, found, strict=True) if not offers)
        hint = f"give the file of one: --task {task} --model FILE.gguf"
        raise GenesisError(f"no {task} model comes with genesis-stack", hint=hint, exit_code=ExitCode.USAGE)
    return found


def known_shapes(layout: Layout) -> dict[str, Shape]:
    """Shapes of the catalogue's files: from the store where they are in it, else as they were published."""
    found = {digest: Shape(facts, estimated=True) for digest, facts in KNOWN.items()}
    for offer in CATALOGUE:
        for weights in offer.files:
            if (stored := shape(weights, layout)) is not None:
                found[weights.sha256] = stored
    return found


def propose(wish: Wish, machine: Machine, shapes: Mapping[str, Shape]) -> Proposal:
    """The first combination of choices that fits; of one task an earlier model is the better one.

    Raises:
        NothingFitsError: none does.
    """
    space = room(machine.host, watched=wish.watched)
    reasons: dict[str, None] = {}
    for offers in itertools.product(*wish.choices):
        against = list(_against(offers, wish, machine, shapes))
        fitted = None if against else fit_all(offers, space, wish.users, shapes)
        if fitted is not None:
            return _proposal(wish, machine, fitted, tuple(reasons))
        reasons |= dict.fromkeys(against or [_too_large(offers, space, shapes)])
    raise NothingFitsError(
        f"nothing fits this machine: {'; '.join(reasons)}",
        hint=f"a machine with {declare_size(_wanted(wish, machine, shapes))} of memory would do"
        if all(" of disk" not in reason for reason in reasons)
        else "free disk space, or keep the tree elsewhere with --root",
    )


def _proposal(
    wish: Wish, machine: Machine, fitted: Sequence[Fitted], passed_over: tuple[str, ...]
) -> Proposal:
    cpus = share_cpus(machine.host.cpus, len(fitted))
    served = tuple(map(Served, fitted, machine.ports, cpus))
    kept = reserve(machine.host)
    return Proposal(wish.name, machine, wish.users, wish.watched, kept, served, passed_over)


def _against(
    offers: Sequence[Offer], wish: Wish, machine: Machine, shapes: Mapping[str, Shape]
) -> Iterator[str]:
    """What speaks against models apart from memory."""
    files = {weights.sha256: shapes[weights.sha256] for offer in offers for weights in offer.files}
    size = sum(file.facts.tensor_bytes for file in files.values() if file.estimated)  # others are here
    if size > machine.disk:
        names = " and ".join(offer.name for offer in offers)
        yield f"{names} take {show_size(size)} of disk, {show_size(machine.disk)} are free"
    for offer, others in zip(offers, wish.choices, strict=True):
        if offer.large and not machine.fast and len(others) > 1:
            yield f"{offer.name} would crawl: this processor lacks the vector instructions that it needs"


def _too_large(offers: Sequence[Offer], space: int, shapes: Mapping[str, Shape]) -> str:
    needs = " + ".join(f"{offer.name} {show_size(least(offer, shapes))}" for offer in offers)
    return f"{needs} at least, {show_size(max(space, 0))} are left for models"


def _wanted(wish: Wish, machine: Machine, shapes: Mapping[str, Shape]) -> int:
    """Bytes of memory with which the least of the wish fits."""
    models = sum(min(least(offer, shapes) for offer in offers) for offers in wish.choices)
    taken = machine.host.memory - room(machine.host, watched=wish.watched)
    return models + max(taken, models // 3)
