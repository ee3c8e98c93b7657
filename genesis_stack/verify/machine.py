"""A stack and a host that is held against it: facts, attempts and answers, each asked for once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout
from genesis_stack.modelstore.verdict import files_of
from genesis_stack.render import sandbox
from genesis_stack.render.serve import config_path
from genesis_stack.render.systemd import service_name
from genesis_stack.spec.effective import on_host
from genesis_stack.spec.model import Model, Stack
from genesis_stack.spec.monitoring import Alertmanager
from genesis_stack.verify.api import Answer, Answers, ask, ask_all
from genesis_stack.verify.facts import Facts, FileFact, Process, read_facts
from genesis_stack.verify.monitors import alert_for_test, counted, requests_to_monitors
from genesis_stack.verify.remote import Remote, Result, UnreachableError
from genesis_stack.verify.sandbox import Inside, program_of, try_inside

LAYOUT: Final = Layout.system()
SCRAPE_MARGIN: Final = 10.0
ALERT_MARGIN: Final = 20.0
"""Seconds beyond the declared times until a scrape, or a notification, counts as missing."""
SENT: Final = "alertmanager_notifications_total"


@dataclass(frozen=True)
class Promised:
    """What the stack says: its text, and the part of it that one host runs."""

    source: str
    stack: Stack

    @classmethod
    def on(cls, source: str, stack: Stack, host: str | None) -> Promised:
        """The part of the host of this name in the stack; the whole stack without a name."""
        return cls(source, on_host(stack, host))

    def files(self, model: str) -> Mapping[str, str]:
        """Paths in the model store and the digests that the files must have."""
        declared = dict(files_of(self.stack.models[model])).values()
        return {str(LAYOUT.models / "sha256" / file.sha256): file.sha256 for file in declared}


class Machine:
    """One host; the same questions are asked only once."""

    def __init__(self, remote: Remote, promised: Promised) -> None:
        self.remote = remote
        self.promised = promised
        self.stack = promised.stack
        self._ends: dict[str, Mapping[str, tuple[str, str]] | GenesisError] = {}

    @cached_property
    def facts(self) -> Facts:
        """Everything that one look shows."""
        files = dict.fromkeys(path for model in self.stack.models for path in self.promised.files(model))
        return read_facts(self.remote, str(LAYOUT.state), list(self.stack.models), list(files))

    def model(self, name: str) -> Model:
        """What the stack says of a model."""
        return self.stack.models[name]

    def policy(self, name: str) -> sandbox.Policy:
        """What the stack says of its sandbox."""
        return sandbox.policy(self.stack, name)

    def service(self, name: str) -> Mapping[str, str]:
        """What systemd says of its service."""
        return self.facts.unit(service_name(name))

    def process(self, name: str) -> Process | None:
        """Its running server, if there is one."""
        return self.facts.processes.get(name)

    def file(self, path: str) -> FileFact:
        """One of its model files."""
        return self.facts.model_files[path]

    @cached_property
    def answers(self) -> Answers:
        """What every running server answers to every question."""
        running = [name for name in self.stack.models if name in self.facts.processes]
        return ask_all(self.remote, self._program(), self.stack, running, LAYOUT)

    @cached_property
    def monitors(self) -> Mapping[str, Answer]:
        """What the stack's own Prometheus and Alertmanager answer."""
        return ask(self.remote, self._program(), requests_to_monitors(self.stack), LAYOUT)

    def settled(self, name: str, settled: Callable[[Answer], bool]) -> Answer:
        """An answer of Prometheus, asked for again while it has only just started."""
        prometheus = self.stack.monitoring.prometheus
        interval = prometheus.scrape_interval if prometheus else 0.0
        end = time.monotonic() + 2 * interval + SCRAPE_MARGIN
        answer = self.monitors[name]
        while not settled(answer) and time.monotonic() < end:
            time.sleep(1)
            wanted = {name: requests_to_monitors(self.stack)[name]}
            answer = ask(self.remote, self._program(), wanted, LAYOUT)[name]
        return answer

    def send_test_alert(self, alertmanager: Alertmanager) -> tuple[Answer, Answer]:
        """Alertmanager's metrics before a test alert and after it was sent on, or should have been."""
        requests = alert_for_test(self.stack, alertmanager)
        counters = {"delivered": requests["delivered"]}
        before = ask(self.remote, self._program(), counters, LAYOUT)["delivered"]
        ask(self.remote, self._program(), {"alert": requests["alert"]}, LAYOUT)
        end = time.monotonic() + alertmanager.group_wait + ALERT_MARGIN
        while True:
            after = ask(self.remote, self._program(), counters, LAYOUT)["delivered"]
            if counted(after, SENT) > counted(before, SENT) or time.monotonic() > end:
                return before, after
            time.sleep(1)

    def ends(self, name: str) -> Mapping[str, tuple[str, str]]:
        """How each attempt from inside a model's sandbox ended.

        Raises:
            UnreachableError: the sandbox cannot be entered.
        """
        if name not in self._ends:
            try:
                self._ends[name] = try_inside(self.remote, self.facts.unit_texts[name], self._inside(name))
            except UnreachableError as error:
                self._ends[name] = error  # one reason for all attempts, asked for once
        found = self._ends[name]
        if isinstance(found, GenesisError):
            raise found
        return found

    def _inside(self, name: str) -> Inside:
        own = list(self.promised.files(name))
        others = [other for other in self.stack.models if other != name]
        return Inside(
            own=own,
            others=[
                *(str(config_path(other, LAYOUT)) for other in others),
                *(path for other in others for path in self.promised.files(other) if path not in own),
            ],
            state=str(LAYOUT.state_file),
            tasks=self.model(name).budget.tasks,
        )

    def program(self, name: str) -> PurePosixPath | None:
        """The program of a model's server; None where there is no unit."""
        return program_of(self.facts.unit_texts[name])

    def _program(self) -> PurePosixPath:
        """genesis-serve of the host's own environment."""
        for name in self.stack.models:
            if program := self.program(name):
                return program
        raise UnreachableError("no unit says which environment the servers run in")

    @cached_property
    def plan(self) -> Result:
        """What `genesis-stack plan` of the host's own environment says of the stack."""
        program = str(self._program().with_name("genesis-stack"))
        return self.remote.shell("plan.sh", program, self.promised.source, check=False)

    def described(self) -> dict[str, str]:
        """The facts that a report begins with."""
        names: Sequence[str] = (
            "hostname",
            "os",
            "kernel",
            "systemd",
            "container",
            "machine-id",
            "memory",
            "disk",
        )
        generation = self.facts.generation
        return {name: self.facts.text(name) for name in names} | {
            "generation": str(generation.number) if generation else "none",
            "cpu": "\n".join(line for line in self.facts.text("cpu").splitlines() if "flags" not in line),
        }
