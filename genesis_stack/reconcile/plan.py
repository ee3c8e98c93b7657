"""From what is to what shall be: pure, so that the same host and stack always give the same plan."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from genesis_stack.backends import Desired, Observation, ObservedService, Phase, Service
from genesis_stack.reconcile import monitors
from genesis_stack.reconcile.steps import Action, Plan, Step, in_waves


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a plan is made from.

    `previous` is the current generation, `inventory` the paths we ever installed and still may have to
    remove. `missing` maps each model to what the store lacks or no longer trusts of its files, `fetched` are
    models whose files it lacked until now, so that a running server may have older ones. `unfinished`
    are models whose restart an interrupted run may have left out, `settled` those whose running server is
    the desired one though its files were changed meanwhile. `room` is the memory in bytes that a second
    server beside a running one may use. `remarks` says what changed files mean. `load_seconds` is how long a
    model's last start took. `secrets` says where each secret that the host lacks would have to stand.
    """

    desired: Desired
    previous: Desired
    base: int | None
    seen: Observation
    inventory: Collection[PurePosixPath] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    fetched: Collection[str] = ()
    unfinished: Collection[str] = ()
    settled: Collection[str] = ()
    room: int = 0
    remarks: Mapping[PurePosixPath, str] = field(default_factory=dict)
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)


def make_plan(situation: Situation) -> Plan:
    """Ordered steps that lead from the observation to the stack."""
    fetches = [Step(Action.FETCH, model, reason) for model, reason in sorted(situation.missing.items())]
    foreign = [_set_aside(situation, index) for index in range(len(situation.seen.foreign))]
    writes = list(_writes(situation))
    deletes = list(_deletes(situation))
    touched = {PurePosixPath(step.target) for step in writes}
    released = dict(_releases(situation, touched))
    serves = list(_serves(situation, touched, released))
    strange = {
        name: reason
        for name, one in situation.seen.monitors.items()
        if (reason := next(_strange(situation, name, one), ""))
    }
    stopped = monitors.stopped(
        situation.previous, situation.desired, situation.seen.monitors, touched, strange
    )
    ends = [Step(Action.STOP_MONITOR, name, reason) for name, reason in stopped.items()]
    watching = list(_watching(situation, touched, stopped, strange))
    releases = [
        Step(Action.RELEASE, model, reason, consequence=_gap(reason)) for model, reason in released.items()
    ]
    reloads = []
    if (
        foreign
        or _managed(situation, touched)
        or deletes
        or releases
        or any(_unread(one) for one in situation.seen.services.values())
        or any(
            _unread(situation.seen.monitors.get(name, monitors.ABSENT)) for name in situation.desired.monitors
        )
    ):
        reloads = [
            Step(Action.RELOAD, "process manager", "it must know the files above and start them at boot")
        ]
    rereads = list(_rereads(situation, touched, {step.target for step in serves}))
    waves = in_waves(serves, {model: _beside(situation, model) for model in situation.desired.services})
    steps = (*fetches, *ends, *releases, *foreign, *writes, *deletes, *reloads, *rereads, *waves, *watching)
    if not steps and situation.base is None and situation.desired.files:
        steps = (Step(Action.RECORD, "current", "all of it stands and runs, and no generation is in force"),)
    blockers = tuple(_blockers(situation))
    return Plan(situation.desired.name, situation.base, steps, blockers, situation.notes if steps else ())


def _watching(
    situation: Situation,
    touched: set[PurePosixPath],
    stopped: Mapping[str, str],
    strange: Mapping[str, str],
) -> Iterator[Step]:
    """Steps of the monitors; one that an interrupted run may have left out is done again."""
    unread = {
        path
        for name, monitor in situation.desired.monitors.items()
        if name in situation.unfinished
        for path in monitor.reload_on
    }
    yield from monitors.steps(situation.desired, situation.seen.monitors, touched | unread, stopped, strange)
    reader = situation.desired.reader or situation.previous.reader
    removed = {path for path in situation.previous.files if path not in situation.desired.files}
    yield from monitors.told(reader, touched | removed)


def _managed(situation: Situation, touched: set[PurePosixPath]) -> set[PurePosixPath]:
    """What the process manager must know of: not the files that only servers read."""
    return touched - {path for service in situation.desired.services.values() for path in service.reread}


def _rereads(situation: Situation, touched: set[PurePosixPath], starting: Collection[str]) -> Iterator[Step]:
    for model, service in situation.desired.services.items():
        changed = sorted(path.name for path in touched & set(service.reread))
        seen = situation.seen.services.get(model, ObservedService(Phase.ABSENT))
        if changed and model not in starting and seen.phase is Phase.RUNNING:
            text = f"{model} reads it before its next request: no restart, nobody waits"
            yield Step(Action.REREAD, model, f"{', '.join(changed)} changes", consequence=text)


def _unread(service: ObservedService) -> bool:
    return service.stale or not service.enabled or service.phase is Phase.ABSENT


def _set_aside(situation: Situation, index: int) -> Step:
    foreign = situation.seen.foreign[index]
    diff = unified_diff(str(foreign.path), foreign.content, None)
    return Step(Action.SET_ASIDE, str(foreign.path), "changes our services and is not ours", diff)


def _writes(situation: Situation) -> Iterator[Step]:
    for path, file in sorted(situation.desired.files.items()):
        seen = situation.seen.files.get(path)
        mode = situation.seen.modes.get(path)
        if seen == file.content and mode == file.mode:
            continue
        if seen == file.content:
            yield Step(Action.WRITE, str(path), f"mode is {mode or 0:04o}, must be {file.mode:04o}")
            continue
        before = situation.previous.files.get(path)
        if before is None:
            reason = "new" if seen is None else "not as the stack says"
        elif before.content == file.content:
            reason = "missing" if seen is None else "edited by hand"
        else:
            reason = "the stack changed"
        diff = unified_diff(str(path), seen, file.content)
        yield Step(Action.WRITE, str(path), reason, diff, situation.remarks.get(path, ""))


def _deletes(situation: Situation) -> Iterator[Step]:
    for path in sorted(set(situation.inventory) | set(situation.previous.files)):
        seen = situation.seen.files.get(path)
        if path not in situation.desired.files and seen is not None:
            yield Step(
                Action.DELETE, str(path), "no longer in the stack", unified_diff(str(path), seen, None)
            )


def _releases(situation: Situation, touched: set[PurePosixPath]) -> Iterator[tuple[str, str]]:
    """Models whose port must close, with the reason."""
    for model, before in sorted(situation.previous.services.items()):
        wanted = situation.desired.services.get(model)
        if wanted is None:
            yield model, "no longer in the stack"
        elif (wanted.host, wanted.port) != (before.host, before.port):
            yield model, f"moves from {before.host}:{before.port} to {wanted.host}:{wanted.port}"
        elif touched & set(wanted.rebind_on) and _known(situation, model):
            yield model, "how its port and process are set up changes"
        elif _foreign_port(situation, wanted) and _known(situation, model):
            yield model, "somebody else had a say in its port"


def _foreign_port(situation: Situation, service: Service) -> bool:
    """Whether a drop-in of a file that sets up the port is about to be set aside."""
    folders = {f"{path.name}.d" for path in service.rebind_on}
    return any(foreign.path.parent.name in folders for foreign in situation.seen.foreign)


def _gap(reason: str) -> str:
    if reason.startswith("no longer"):
        return "its port closes for good"
    return "its port is opened anew: clients may be refused for a moment"


def _known(situation: Situation, model: str) -> bool:
    service = situation.seen.services.get(model)
    return service is not None and service.phase is not Phase.ABSENT


def _serves(situation: Situation, touched: set[PurePosixPath], released: Mapping[str, str]) -> Iterator[Step]:
    for model, service in situation.desired.services.items():
        seen = situation.seen.services.get(model, ObservedService(Phase.ABSENT))
        if model in released:
            yield Step(Action.START, model, released[model], consequence=_start_text(situation, model))
        elif seen.phase in {Phase.RUNNING, Phase.STARTING}:
            reason = _restart_reason(situation, service, seen, touched)
            if reason:
                action = Action.BESIDE if _beside(situation, model) else Action.RESTART
                yield Step(action, model, reason, consequence=_restart_text(situation, service))
        else:
            yield Step(
                Action.START,
                model,
                _start_reason(situation, model, seen),
                consequence=_start_text(situation, model),
            )


def _restart_reason(
    situation: Situation, service: Service, seen: ObservedService, touched: set[PurePosixPath]
) -> str:
    """The first reason to restart a running server, or nothing."""
    return next(_restart_reasons(situation, service, seen, touched), "")


def _restart_reasons(
    situation: Situation, service: Service, seen: ObservedService, touched: set[PurePosixPath]
) -> Iterator[str]:
    model = service.model
    changed = sorted(path.name for path in touched & set(service.restart_on))
    if changed and model not in situation.settled:
        yield f"{', '.join(changed)} changes"
    if model in situation.missing or model in situation.fetched:
        yield "its model file is replaced"
    yield from _strange(situation, model, seen)
    if model in situation.unfinished:
        yield "an interrupted run may not have restarted it"
    if not seen.listening:
        yield "its port is closed"


def _strange(situation: Situation, name: str, seen: ObservedService) -> Iterator[str]:
    """What somebody else changed of a running server or monitor."""
    if any(foreign.model == name for foreign in situation.seen.foreign):
        yield "a stranger's file changed it"
    for limit, (must, effective) in sorted(seen.limits.items()):
        yield f"{limit} is {effective}, must be {must}"


def _start_reason(situation: Situation, model: str, seen: ObservedService) -> str:
    if model not in situation.previous.services:
        return "new"
    return {Phase.FAILED: "it has failed", Phase.STOPPED: "it was stopped"}.get(seen.phase, "it does not run")


def _seconds(situation: Situation, model: str) -> str:
    known = situation.load_seconds.get(model)
    return f"about {max(1, round(known))} s" if known is not None else "as long as it loads"


def _start_text(situation: Situation, model: str) -> str:
    service = situation.desired.services[model]
    return f"serves {model} on {service.host}:{service.port} after {_seconds(situation, model)}"


def _restart_text(situation: Situation, service: Service) -> str:
    if _beside(situation, service.model):
        return f"restarts {service.model} beside the running one: nobody waits"
    return f"restarts {service.model}: clients queue for {_seconds(situation, service.model)}"


def _beside(situation: Situation, model: str) -> bool:
    """Whether the new server may run beside the old one: declared, running, and the memory is there."""
    service = situation.desired.services[model]
    if service.strategy != "blue_green" or model in situation.unfinished:
        return False
    return _known(situation, model) and service.memory <= situation.room


def _blockers(situation: Situation) -> Iterator[str]:
    for secret, place in sorted(situation.secrets.items()):
        yield (
            f"secret {secret} is not on this host: put it into {place} (mode 0600), or let "
            "`genesis-stack clients add` make it when it signs a client's requests"
        )
    for model, service in situation.desired.services.items():
        holder = situation.seen.listeners.get(service.port)
        if holder is not None:
            remedy = f"kill {holder.pid}" if holder.pid else "ask its user to stop it"
            yield f"port {service.port} of {model} is taken by {holder}: {remedy}, or give it another port"
    for name, monitor in situation.desired.monitors.items():
        where = "gateway" if monitor.front else "monitoring, or use the one that runs with mode: external"
        for port in monitor.ports:
            if (holder := situation.seen.listeners.get(port)) is not None:
                yield f"port {port} of {name} is taken by {holder}: stop it, or set another under {where}"


def unified_diff(path: str, before: str | None, after: str | None) -> str:
    """What changes in a file; None stands for a file that is not there."""
    lines = difflib.unified_diff(
        (before or "").splitlines(),
        (after or "").splitlines(),
        path if before is not None else "/dev/null",
        path if after is not None else "/dev/null",
        lineterm="",
    )
    return "\n".join(lines)
