"""What a plan is made of: ordered steps, each with its reason, its diff and its consequence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Final

PLAN_KIND: Final = "genesis-stack plan"
"""Tells a saved plan from a stack."""


class Action(StrEnum):
    """What a step does; a plan lists them in this order."""

    FETCH = "fetch"  # download and verify a model file; nothing is interrupted yet
    SET_ASIDE = "set aside"  # move a stranger's file out of the way, keeping it
    WRITE = "write"  # install a rendered file
    DELETE = "delete"  # remove a file of ours that nothing needs any more
    STOP_MONITOR = "stop monitor"  # end a program that watches
    RELEASE = "release"  # stop a server and close its port
    RELOAD = "reload"  # let the process manager read its files
    REREAD = "reread"  # see a running server take up who may call; nobody waits
    START = "start"  # start a server that does not run
    RESTART = "restart"  # replace a running server; its clients queue meanwhile
    BESIDE = "replace"  # start the new server beside the running one, then end the old
    START_MONITOR = "start monitor"  # start a program that watches
    RELOAD_MONITOR = "reload monitor"  # let it read its configuration again
    TELL = "tell"  # let somebody else's program read its files again
    RECORD = "record"  # say again which generation is in force


MONITORS: Final = frozenset({Action.START_MONITOR, Action.RELOAD_MONITOR, Action.TELL})
"""What is done once the servers serve."""
SERVES: Final = frozenset({Action.START, Action.RESTART, Action.BESIDE})
"""Actions after which health decides."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change. `target` is a path or a model; `wave` groups the servers that are gated together."""

    action: Action
    target: str
    reason: str
    diff: str = ""
    consequence: str = ""
    wave: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The way from an observation to a stack.

    `blockers` are reasons why it cannot be gone, each with its remedy. `notes` say what the backend cannot
    enforce. `base` is the generation it starts from.
    """

    name: str
    base: int | None
    steps: tuple[Step, ...]
    blockers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether host and stack already agree."""
        return not self.steps and not self.blockers

    @property
    def fingerprint(self) -> str:
        """Equal for plans that would do the same from the same place."""
        steps = [asdict(step) for step in self.steps]
        return sha256(json.dumps([self.base, steps, self.blockers]).encode()).hexdigest()

    @property
    def course(self) -> tuple[tuple[Action, str, str, int], ...]:
        """What is done and why once the model files are there; their sizes may be known only then."""
        steps = (step for step in self.steps if step.action is not Action.FETCH)
        return tuple((step.action, step.target, step.reason, step.wave) for step in steps)

    def restarted(self) -> tuple[str, ...]:
        """Models and monitors that this plan starts, restarts or reloads."""
        return tuple(step.target for step in self.steps if step.action in SERVES | MONITORS - {Action.TELL})


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan on disk, with what it was made from; `stack` is the path and `source` its SHA-256."""

    stack: str
    source: str
    fingerprint: str


def in_waves(steps: Sequence[Step], alone: Mapping[str, bool]) -> tuple[Step, ...]:
    """Number the waves: one model first, then the others together; those marked `alone` one by one.

    A change that breaks every model is thus noticed while all but one still serve.
    """
    numbered: list[Step] = []
    shared = 0
    last = 0
    for step in steps:
        if alone.get(step.target, False) or last == 0:
            last += 1
            numbered.append(replace(step, wave=last))
        else:
            if shared == 0:
                last += 1
                shared = last
            numbered.append(replace(step, wave=shared))
    return tuple(sorted(numbered, key=lambda step: step.wave))


def to_json(plan: Plan, saved: SavedPlan | None = None) -> str:
    """The plan as data; with `saved` it can be applied later."""
    data: dict[str, object] = {"schema_version": 1, "kind": PLAN_KIND, "name": plan.name, "base": plan.base}
    if saved is not None:
        data |= asdict(saved)
    data["steps"] = [asdict(step) for step in plan.steps]
    data["blockers"] = list(plan.blockers)
    data["notes"] = list(plan.notes)
    return json.dumps(data, indent=2) + "\n"


def summary(plan: Plan) -> str:
    """How much there is to do: `7 steps: fetch 1, write 4, reload 1, start 1`."""
    counts = Counter(str(step.action) for step in plan.steps)
    count = "1 step" if len(plan.steps) == 1 else f"{len(plan.steps)} steps"
    return f"{count}: " + ", ".join(f"{action} {number}" for action, number in counts.items())


def outline(plan: Plan) -> list[dict[str, str]]:
    """What was done and why, without the diffs, for programs."""
    return [{"action": step.action, "target": step.target, "reason": step.reason} for step in plan.steps]


def to_text(plan: Plan) -> str:
    """The plan for a person; exactly one line when there is nothing to do."""
    if plan.empty:
        return "Nothing to do.\n"
    lines: list[str] = []
    for step in plan.steps:
        lines.append(f"{step.action} {step.target}: {step.reason}")
        lines += [f"    {line}" for line in step.diff.splitlines()]
        if step.consequence:
            lines.append(f"  -> {step.consequence}")
    lines += [f"blocked: {blocker}" for blocker in plan.blockers]
    lines += [f"not enforced: {note}" for note in plan.notes]
    return "\n".join(lines) + "\n"
