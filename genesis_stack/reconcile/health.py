"""The gate behind every start: the right server, ready, and staying so.

`/health` must echo the digests of the model file and of the config that the stack asks for, so that an old
server, or a stranger, on the same port never passes for the new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from genesis_stack.backends import Backend, Health, ObservedService, Phase, Service
from genesis_stack.errors import GenesisError
from genesis_stack.protocol.access import KEYS_FILE, access_digest

POLL_SECONDS: Final = 0.1
UNREACHABLE: Final = Health("unreachable")
REREAD_SECONDS: Final = 15.0
"""How long a running server may take until it tells that it has read who may call."""
CRASHES: Final = 3
"""Processes that may die under the gate before it gives up."""


class GateError(GenesisError):
    """A server did not become healthy; `model` says which."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(f"{model}: {message}")
        self.model = model


@dataclass
class _Watch:
    """What the gate knows of one server."""

    service: Service
    started: float
    ready_at: float | None = None
    first_ready: float | None = None
    pid: int | None = None
    crashes: int = 0
    last: Health = UNREACHABLE

    def look(self, seen: ObservedService, health: Health, now: float) -> None:
        """Take one look into account; raises GateError when there is no hope left."""
        self.last = health
        if seen.phase is Phase.FAILED:
            raise GateError(self.service.model, "its start failed")
        if self.pid is not None and seen.pid not in (None, self.pid):
            self.crashes += 1
            self.ready_at = None
        self.pid = seen.pid or self.pid
        if self.crashes >= CRASHES:
            raise GateError(self.service.model, f"it died {self.crashes} times")
        if health.serves(self.service):
            self.ready_at = now if self.ready_at is None else self.ready_at
            self.first_ready = self.first_ready or now
        elif health.status == "failed":
            raise GateError(self.service.model, f"it reports failure: {health.detail}")
        elif not health.serving:
            self.ready_at = None

    def done(self, now: float) -> bool:
        """Whether it has been ready for long enough."""
        return self.ready_at is not None and now - self.ready_at >= self.service.min_healthy

    def story(self) -> str:
        """What is being waited for, in a few words."""
        if self.ready_at is None or not self.service.min_healthy:
            return self.last.status
        return f"{self.last.status}, and kept if it stays so for {self.service.min_healthy:g} s"

    def verdict(self) -> str:
        """Why it is not healthy yet."""
        if self.ready_at is not None:
            return f"ready, but not for {self.service.min_healthy:g} s"
        if self.last.serving:
            return "another server answers: its model or config digest is not the one applied"
        return f"{self.last.status} {self.last.detail}".strip()


def access_in_force(service: Service, backend: Backend) -> str:
    """The digest of the clients and keys on disk, as a server that has read them tells it; "" for none."""
    for path in service.reread:
        clients, keys = backend.live(path), backend.live(path.with_name(KEYS_FILE))
        return access_digest(clients.read_bytes(), keys.read_bytes() if keys.exists() else None)
    return ""


def see_reread(service: Service, backend: Backend) -> None:
    """Wait until a running server has taken up the clients and keys on disk.

    Raises:
        GateError: it did not within `REREAD_SECONDS`.
    """
    wanted = access_in_force(service, backend)
    deadline = time.monotonic() + REREAD_SECONDS
    while backend.health(service).access != wanted:
        if time.monotonic() > deadline:
            raise GateError(service.model, f"has not read its clients again after {REREAD_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


def gate(services: Sequence[Service], backend: Backend, say: Callable[[str, str], None]) -> dict[str, float]:
    """Wait until all servers are healthy; returns the seconds each took to be ready.

    `say` is told each model's state whenever it changes.

    Raises:
        GateError: one failed, kept dying, or was not healthy within its deadline.
    """
    start = time.monotonic()
    watches = {service.model: _Watch(service, start) for service in services}
    waiting = dict(watches)
    told: dict[str, str] = {}
    while waiting:
        seen = backend.processes({model: watch.service for model, watch in waiting.items()})
        for model, watch in list(waiting.items()):
            health = backend.health(watch.service)
            now = time.monotonic()
            watch.look(seen.get(model, ObservedService(Phase.ABSENT)), health, now)
            if told.get(model) != (story := watch.story()):
                told[model] = story
                say(model, story)
            if watch.done(now):
                del waiting[model]
            elif now - start > watch.service.deadline:
                raise GateError(model, f"not healthy after {watch.service.deadline:g} s: {watch.verdict()}")
        if waiting:
            time.sleep(POLL_SECONDS)
    return {model: round((watch.first_ready or start) - start, 2) for model, watch in watches.items()}
