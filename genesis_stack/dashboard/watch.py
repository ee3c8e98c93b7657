"""Looks at the running models every few seconds and keeps the last minutes in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from genesis_stack.backends import Service
from genesis_stack.dashboard.applied import Applied, Apply, read_applied, recent_applies
from genesis_stack.dashboard.asking import client
from genesis_stack.dashboard.history import History, Pace, Point
from genesis_stack.dashboard.monitors import Alerts, Monitors
from genesis_stack.dashboard.reading import Figures, Reading, base_url, look
from genesis_stack.errors import GenesisError
from genesis_stack.reconcile.generations import Generations

if TYPE_CHECKING:
    import httpx

INTERVAL: Final = 2.0
"""Seconds between two looks."""
MOST_APPLIES: Final = 8
"""Applies that are shown."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model as it is shown; `state` is what its `/health` says, or `down` without an answer.

    `budget` is bytes, `slo` what is promised, by the names of the stack; totals are those of `Figures`.
    """

    model: str
    address: str
    state: str
    problem: str
    budget: int
    slo: Mapping[str, float]
    totals: Mapping[str, float | None]
    pace: Pace
    point: Point


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the page shows at UNIX time `at`."""

    at: float
    stack: str
    generation: int | None
    models: tuple[ModelView, ...]
    alerts: Alerts
    applies: tuple[Apply, ...]
    prometheus: str | None
    problems: tuple[str, ...]
    schema_version: int = 1


class Watch:
    """The latest view, and the way to wait for the next one.

    `monitors` replaces what the stack says about Prometheus and Alertmanager where it is given; the servers
    are shown the key.
    """

    def __init__(self, generations: Generations, monitors: Monitors, key: str = "") -> None:
        self.view: View | None = None
        self.histories: dict[str, History] = {}
        self.monitors = monitors
        self._generations = generations
        self._given = monitors
        self._key = key
        self._applied: Applied | None = None
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Look until cancelled."""
        async with client(servers=True, key=self._key) as servers, client(servers=False) as others:
            while True:
                started = time.monotonic()
                view = await self._look(servers, others)
                async with self._changed:
                    self.view = view
                    self._changed.notify_all()
                await asyncio.sleep(max(0.0, INTERVAL - (time.monotonic() - started)))

    async def views(self) -> AsyncIterator[View]:
        """The latest view, then each new one; a reader that is slow misses some."""
        seen = None
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self.view is not seen)  # noqa: B023 -- asked at once
                seen = self.view
            assert seen is not None  # noqa: S101 -- for the type checker
            yield seen

    async def _look(self, servers: httpx.AsyncClient, others: httpx.AsyncClient) -> View:
        problems: list[str] = []
        try:
            self._applied = await asyncio.to_thread(self._read_applied)
            applies = await asyncio.to_thread(recent_applies, self._generations, MOST_APPLIES)
        except (GenesisError, OSError) as error:
            problems.append(str(error))
            applies = ()
        applied = self._applied or Applied(None, "", {}, None)
        stated = Monitors.of(applied.stack)
        self.monitors = Monitors(
            self._given.prometheus or stated.prometheus, self._given.alertmanager or stated.alertmanager
        )
        looks = (look(servers, base_url(service)) for service in applied.services.values())
        alerts, readings = await asyncio.gather(self.monitors.alerts(others), asyncio.gather(*looks))
        models = tuple(map(self._model, applied.services.values(), readings))
        self.histories = {model.model: self.histories[model.model] for model in models}
        problems += [f"{model.model}: {model.problem}" for model in models if model.problem]
        return View(
            at=time.time(),
            stack=applied.name,
            generation=applied.generation,
            models=models,
            alerts=alerts,
            applies=applies,
            prometheus=self.monitors.prometheus,
            problems=tuple(problems),
        )

    def _read_applied(self) -> Applied:
        """The current generation; what was read is kept until another one is current."""
        if self._applied is not None and self._applied.generation == self._generations.current():
            return self._applied
        return read_applied(self._generations)

    def _model(self, service: Service, reading: Reading) -> ModelView:
        pace = self.histories.setdefault(service.model, History()).add(reading)
        stack = self._applied.stack if self._applied else None
        declared = stack.models.get(service.model) if stack else None
        slo = declared.slo.model_dump(exclude_none=True) if declared else {}
        state, problem = _state(service, reading)
        return ModelView(
            model=service.model,
            address=base_url(service),
            state=state,
            problem=problem,
            budget=service.memory,
            slo=slo,
            totals=_totals(reading.figures),
            pace=pace,
            point=self.histories[service.model].points[-1][1],
        )


def _state(service: Service, reading: Reading) -> tuple[str, str]:
    health = reading.health
    if health.status == "unreachable":
        return "down", reading.problem
    if health.serving and not health.serves(service):
        return "stranger", "another server answers: its model or config digest is not the one applied"
    return health.status, reading.problem or health.detail


def _totals(figures: Figures | None) -> Mapping[str, float | None]:
    names = ("started", "requests", "errors", "prompt_tokens", "generated_tokens")
    gauges = ("processing", "deferred", "kv_cache", "memory")
    return {name: getattr(figures, name) if figures else None for name in (*names, *gauges)}
