"""The gate behind every start: the right server, ready, and staying so.

`/health` must echo the digests of the model file and of the config that the stack asks for, so that an old
server, or a stranger, on the same port never passes for the new one.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from genesis_stack.backends import ObservedService, Phase, Service
from genesis_stack.errors import GenesisError

POLL_SECONDS: Final = 0.1
REQUEST_SECONDS: Final = 2.0
"""Patience with one answer; a server that loads leaves us in the backlog."""
CRASHES: Final = 3
"""Processes that may die under the gate before it gives up."""
ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- where to reach such a listener


class GateError(GenesisError):
    """A server did not become healthy; `model` says which."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(f"{model}: {message}")
        self.model = model


@dataclass(frozen=True, slots=True)
class Health:
    """One answer of `/health`; `status` is `starting`, `ready`, `draining`, `failed` or `unreachable`."""

    status: str
    weights: str = ""
    config: str = ""
    detail: str = ""

    def serves(self, service: Service) -> bool:
        """Whether this is the server that the stack asks for, and ready."""
        return self.status == "ready" and (self.weights, self.config) == (service.weights, service.config)


def ask(service: Service, timeout: float = REQUEST_SECONDS) -> Health:
    """One look at a server's `/health`."""
    host = ANY_ADDRESS.get(service.host, service.host)
    connection = http.client.HTTPConnection(host, service.port, timeout=timeout)
    try:
        connection.request("GET", "/health", headers={"Connection": "close"})
        body = json.loads(connection.getresponse().read(64 * 1024))
        return Health(
            str(body["status"]),
            str(body.get("model_digest", "")),
            str(body.get("config_digest", "")),
            str(body.get("reason", "")),
        )
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        return Health("unreachable", detail=str(error) or type(error).__name__)
    finally:
        connection.close()


@dataclass
class _Watch:
    """What the gate knows of one server."""

    service: Service
    started: float
    ready_at: float | None = None
    first_ready: float | None = None
    pid: int | None = None
    crashes: int = 0
    last: Health = Health("unreachable")

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
        elif health.status != "ready":
            self.ready_at = None

    def done(self, now: float) -> bool:
        """Whether it has been ready for long enough."""
        return self.ready_at is not None and now - self.ready_at >= self.service.min_healthy

    def verdict(self) -> str:
        """Why it is not healthy yet."""
        if self.ready_at is not None:
            return f"ready, but not for {self.service.min_healthy:g} s"
        if self.last.status == "ready":
            return "another server answers: its model or config digest is not the one applied"
        return f"{self.last.status} {self.last.detail}".strip()


def gate(
    services: Sequence[Service],
    observe: Callable[[], Mapping[str, ObservedService]],
    say: Callable[[str, str], None],
) -> dict[str, float]:
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
        seen = observe()
        for model, watch in list(waiting.items()):
            remaining = watch.service.deadline - (time.monotonic() - start)
            health = ask(watch.service, timeout=min(REQUEST_SECONDS, max(0.1, remaining)))
            now = time.monotonic()
            watch.look(seen.get(model, ObservedService(Phase.ABSENT)), health, now)
            if told.get(model) != health.status:
                told[model] = health.status
                say(model, health.status)
            if watch.done(now):
                del waiting[model]
            elif now - start > watch.service.deadline:
                raise GateError(model, f"not healthy after {watch.service.deadline:g} s: {watch.verdict()}")
        if waiting:
            time.sleep(POLL_SECONDS)
    return {model: round((watch.first_ready or start) - start, 2) for model, watch in watches.items()}
