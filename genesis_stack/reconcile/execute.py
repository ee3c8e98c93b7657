"""Do the steps of a plan on a host, in order, each wave of servers gated on health."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from genesis_stack import durable
from genesis_stack.backends import Backend, Desired, Service
from genesis_stack.reconcile.health import gate, see_reread
from genesis_stack.reconcile.monitors import carry_out, tell
from genesis_stack.reconcile.steps import MONITORS, SERVES, Action, Plan, Step

Say = Callable[[str], None]
"""Takes one line of the story."""


class Execution:
    """One run through a plan's steps after the fetches; `set_aside` is where strangers' files go.

    `touched` are the models that were started or restarted, `beside` those that have a second server now.
    """

    def __init__(self, backend: Backend, desired: Desired, set_aside: Path, say: Say) -> None:
        self.backend = backend
        self.desired = desired
        self.set_aside = set_aside
        self.say = say
        self.load_seconds: dict[str, float] = {}
        self.touched: list[str] = []
        self.beside: list[str] = []

    def run(self, plan: Plan) -> None:
        """Do everything.

        Raises:
            GateError: a server did not become healthy.
            GenesisError, ProcessError, OSError: a step failed.
        """
        for step in plan.steps:
            if step.action not in SERVES | MONITORS | {Action.FETCH, Action.RECORD}:
                self._change(step)
        serves = [step for step in plan.steps if step.action in SERVES]
        for _, wave in itertools.groupby(serves, key=lambda step: step.wave):
            self._serve(list(wave))
        for step in plan.steps:
            if step.action in MONITORS:
                self.say(f"{step.action} {step.target}: {step.reason}")
                self._watch(step)

    def _watch(self, step: Step) -> None:
        if step.action is not Action.TELL:
            carry_out(step, self.desired.monitors[step.target], self.backend)
        elif trouble := tell(step.target):
            self.say(trouble)

    def _change(self, step: Step) -> None:
        match step.action:
            case Action.SET_ASIDE:
                self._put_aside(Path(step.target))
            case Action.WRITE:
                self._install(PurePosixPath(step.target))
            case Action.DELETE:
                durable.remove(self.backend.live(PurePosixPath(step.target)))
            case Action.STOP_MONITOR:
                self.say(f"stopping {step.target}: {step.reason}")
                self.backend.stop_monitor(step.target)
            case Action.RELEASE:
                self.say(f"stopping {step.target}: {step.reason}")
                self.backend.release(step.target)
            case Action.RELOAD:
                self.backend.reload(self.desired)
            case Action.REREAD:
                self.say(f"{step.target}: {step.reason}")
                see_reread(self.desired.services[step.target], self.backend)

    def _install(self, path: PurePosixPath) -> None:
        file = self.desired.files[path]
        live = self.backend.live(path)
        durable.write(live, file.content, file.mode)
        if file.owner and live.owner() != file.owner:
            durable.step(f"chown {live}")
            shutil.chown(live, file.owner)

    def _put_aside(self, path: Path) -> None:
        durable.mkdir(self.set_aside, 0o700)
        kept = self.set_aside / f"{time.time_ns()}-{path.parent.name}-{path.name}"
        durable.step(f"set aside {path}")
        shutil.move(path, kept)
        self.say(f"{path} is now {kept}")

    def _serve(self, wave: Sequence[Step]) -> None:
        services = [self.desired.services[step.target] for step in wave]
        for step, service in zip(wave, services, strict=True):
            self.say(f"{step.action} {step.target}: {step.reason}")
            self._start(step.action, service)
        self.load_seconds |= gate(
            services, self.backend, lambda model, status: self.say(f"{model}: {status}")
        )
        for service in services:
            if service.model in self.beside:
                self.backend.finish_beside(service, keep_new=True)
                self.beside.remove(service.model)
                self.touched.append(service.model)

    def _start(self, action: Action, service: Service) -> None:
        if action is Action.BESIDE:
            self.beside.append(service.model)
            self.backend.start_beside(service)
            return
        self.touched.append(service.model)
        if action is Action.START:
            self.backend.start(service)
        else:
            self.backend.restart(service)
