"""What runs and how it is: sync and health, two separate questions."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from genesis_stack.backends import SERVING, Health, ObservedService, Phase, Service, samples
from genesis_stack.backends.probe import connect
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.drift import find_drift
from genesis_stack.reconcile.state import read_journal


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model. Sizes are bytes, times seconds; None where nothing is known.

    `ttft` is the mean over all requests since the server started, `tokens_per_second` the decode rate.
    """

    model: str
    address: str
    state: str
    health: str
    pid: int | None
    uptime: float | None
    restarts: int
    memory: int | None
    budget: int
    requests: float | None
    tokens_per_second: float | None
    ttft: float | None
    event: str


@dataclass(frozen=True, slots=True)
class Status:
    """The host. `sync` is `in sync`, `drifted`, `interrupted` or `nothing applied`."""

    stack: str
    backend: str
    generation: int | None
    sync: str
    drift: tuple[str, ...]
    models: tuple[ModelStatus, ...]
    notes: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether every model serves what the current generation says."""
        return all(model.health in SERVING for model in self.models)

    def as_json(self) -> dict[str, object]:
        """Everything, with a version."""
        return {"schema_version": 1, **asdict(self), "healthy": self.healthy}


def read_status(host: Host) -> Status:
    """Look at everything once."""
    generations = host.transaction.generations
    number = generations.current()
    desired = generations.load(number)
    drift = find_drift(host)
    seen = host.backend.processes(desired.services)
    events = last_events(host.layout.events)
    return Status(
        stack=desired.name,
        backend=host.backend.name,
        generation=number,
        sync=_sync(host, number, drifted=bool(drift)),
        drift=tuple(f"{one.target}: {one.what}; {one.fix}" for one in drift),
        models=tuple(_model(host, one, seen[one.model], events) for one in desired.services.values()),
        notes=host.backend.unenforced,
    )


def _sync(host: Host, number: int | None, *, drifted: bool) -> str:
    if read_journal(host.layout) is not None:
        return "interrupted"
    if drifted:
        return "drifted"
    return "nothing applied" if number is None else "in sync"


def _model(host: Host, service: Service, seen: ObservedService, events: Mapping[str, str]) -> ModelStatus:
    alive = seen.phase in {Phase.RUNNING, Phase.STARTING}
    answer = host.backend.health(service) if alive else Health("down")
    metrics = (samples.ask(connect(service)) if answer.serving else None) or {}
    state = answer.status
    if answer.serving and not answer.serves(service):
        state = "another server answers"
    return ModelStatus(
        model=service.model,
        address=f"{service.host}:{service.port}",
        state=str(seen.phase),
        health=state,
        pid=seen.pid,
        uptime=round(time.time() - seen.since, 1) if seen.since is not None and alive else None,
        restarts=seen.restarts,
        memory=seen.memory,
        budget=service.memory,
        requests=metrics.get("llamacpp:request_latency_seconds_count"),
        tokens_per_second=metrics.get("llamacpp:predicted_tokens_seconds"),
        ttft=_mean(metrics, "genesis_time_to_first_token_seconds"),
        event=events.get(service.model, ""),
    )


def _mean(metrics: Mapping[str, float], histogram: str) -> float | None:
    count = metrics.get(f"{histogram}_count")
    return round(metrics[f"{histogram}_sum"] / count, 4) if count else None


def last_events(path: Path) -> dict[str, str]:
    """The latest event of each model that the memory guard wrote."""
    found: dict[str, str] = {}
    try:
        lines = path.read_text(errors="replace").splitlines()[-200:]
    except OSError:
        return found
    for line in lines:
        try:
            event = json.loads(line)
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["time"]))
            found[str(event["model"])] = f"{when} {event['message']}"
        except (ValueError, KeyError, TypeError):
            continue
    return found
