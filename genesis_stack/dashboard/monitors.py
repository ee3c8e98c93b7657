"""What Prometheus and Alertmanager know, over their HTTP APIs (Prometheus's v1, Alertmanager's v2)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from genesis_stack.dashboard.asking import UnansweredError, get_json
from genesis_stack.spec.addresses import authority
from genesis_stack.spec.model import Stack

if TYPE_CHECKING:
    import httpx

WATCHDOG: Final = "Watchdog"
"""The alert that always fires, and so shows that alerts do."""
_MALFORMED: Final = (KeyError, TypeError, ValueError, AttributeError)
"""What comes of reading an answer that is something else."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; `state` is `firing`, `pending` or `silenced`, `since` a UNIX time."""

    name: str
    state: str
    severity: str
    model: str
    summary: str
    since: float | None


@dataclass(frozen=True, slots=True)
class Alerts:
    """What fires. `source` says who was asked, `problem` why there is no answer.

    `watchdog` tells whether the alert that always fires does; None where nobody was asked.
    """

    source: str
    items: tuple[Alert, ...] = ()
    watchdog: bool | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Monitors:
    """Base URLs of the two; None for one that there is not."""

    prometheus: str | None
    alertmanager: str | None

    @classmethod
    def of(cls, stack: Stack | None) -> Self:
        """Where the stack says they are; where an external Prometheus answers, a stack does not say."""
        if stack is None:
            return cls(None, None)
        prometheus, alertmanager = stack.monitoring.prometheus, stack.monitoring.alertmanager
        first = second = None
        if prometheus is not None and prometheus.mode == "managed":
            first = f"http://{authority(prometheus.listen, prometheus.port)}"
        if alertmanager is not None:
            managed = f"http://{authority(alertmanager.listen, alertmanager.port)}"
            second = managed if alertmanager.mode == "managed" else alertmanager.url
        return cls(first, second)

    async def alerts(self, http: httpx.AsyncClient) -> Alerts:
        """All alerts; Alertmanager knows the silenced ones, Prometheus those that are pending."""
        if self.alertmanager is None and self.prometheus is None:
            return Alerts("", problem="no Prometheus is declared, so no alert is evaluated")
        rules, managed = await asyncio.gather(
            _rule_alerts(http, self.prometheus), _managed_alerts(http, self.alertmanager)
        )
        told = managed if managed.source and not managed.problem else rules
        pending = () if told is rules else tuple(one for one in rules.items if one.state == "pending")
        problem = "; ".join(answer.problem for answer in (rules, managed) if answer.problem)
        return Alerts(told.source, (*told.items, *pending), told.watchdog, problem)

    async def range(
        self, http: httpx.AsyncClient, query: str, start: float, end: float, step: float
    ) -> Mapping[str, Mapping[float, float]]:
        """Values of a query by model and time; raises UnansweredError."""
        window = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return {
            model: {float(at): float(value) for at, value in values}
            for model, values in await self._ask(http, "query_range", {"query": query, **window}, "values")
        }

    async def instant(self, http: httpx.AsyncClient, query: str, at: float) -> Mapping[str, float]:
        """Values of a query by model at one time; raises UnansweredError."""
        found = await self._ask(http, "query", {"query": query, "time": f"{at:.3f}"}, "value")
        return {model: float(value) for model, (_, value) in found}

    async def _ask(
        self, http: httpx.AsyncClient, what: str, params: Mapping[str, str], part: str
    ) -> list[tuple[str, Any]]:
        """That part of each series, with its model."""
        if self.prometheus is None:
            raise UnansweredError("no Prometheus is declared")
        said = await get_json(http, f"{self.prometheus}/api/v1/{what}", params)
        try:
            return [(one["metric"].get("model", ""), one[part]) for one in said["data"]["result"]]
        except _MALFORMED:
            raise UnansweredError("its answer is not Prometheus's") from None


async def _managed_alerts(http: httpx.AsyncClient, url: str | None) -> Alerts:
    if url is None:
        return Alerts("")
    source = f"Alertmanager at {url}"
    try:
        said = await get_json(http, f"{url}/api/v2/alerts")
        states = {"active": "firing", "suppressed": "silenced"}
        told = said if isinstance(said, list) else [said]  # which then is no alert
        found = [_alert(one, states.get(one["status"]["state"], "pending"), one["startsAt"]) for one in told]
    except UnansweredError as error:
        return Alerts(source, problem=f"{source}: {error}")
    except _MALFORMED:
        return Alerts(source, problem=f"{source}: its answer is not Alertmanager's")
    return _sorted(source, found)


async def _rule_alerts(http: httpx.AsyncClient, url: str | None) -> Alerts:
    if url is None:
        return Alerts("")
    source = f"Prometheus at {url}"
    try:
        said = await get_json(http, f"{url}/api/v1/alerts")
        found = [_alert(one, one["state"], one["activeAt"]) for one in said["data"]["alerts"]]
    except UnansweredError as error:
        return Alerts(source, problem=f"{source}: {error}")
    except _MALFORMED:
        return Alerts(source, problem=f"{source}: its answer is not Prometheus's")
    return _sorted(source, found)


def _alert(one: Mapping[str, Any], state: str, since: str) -> Alert:
    labels, notes = one["labels"], one.get("annotations", {})
    return Alert(
        name=labels["alertname"],
        state=state,
        severity=labels.get("severity", ""),
        model=labels.get("model", ""),
        summary=notes.get("summary", ""),
        since=datetime.fromisoformat(since).timestamp(),
    )


def _sorted(source: str, found: list[Alert]) -> Alerts:
    order = {"firing": 0, "pending": 1, "silenced": 2}
    items = sorted(
        (one for one in found if one.name != WATCHDOG),
        key=lambda one: (order.get(one.state, 3), one.severity != "page", one.name, one.model),
    )
    return Alerts(source, tuple(items), any(one.name == WATCHDOG for one in found))
