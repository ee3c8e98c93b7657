"""How many tokens were served, and since when.

From Prometheus, as increases since the month began; or from the servers' own counters, which begin anew with
each process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from genesis_stack.backends import Service
from genesis_stack.dashboard.asking import UnansweredError, client
from genesis_stack.dashboard.exposition import Exposition
from genesis_stack.dashboard.monitors import Monitors
from genesis_stack.dashboard.reading import base_url, read_exposition

if TYPE_CHECKING:
    import httpx

COUNTERS: Final = {
    "prompt": "genesis_prompt_tokens_sum",
    "completion": "genesis_completion_tokens_sum",
    "cached": "genesis_cached_prompt_tokens_total",
}
"""What `Served` counts, by the names in docs/metrics.md."""


@dataclass(frozen=True, slots=True)
class Served:
    """Tokens of one model since UNIX time `since`; `cached` are those of `prompt` not read again."""

    since: float
    prompt: float
    completion: float
    cached: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was served, by model, where from, and what could not be learnt."""

    source: str
    served: Mapping[str, Served]
    problems: tuple[str, ...] = ()


def month_start(now: float) -> float:
    """When the calendar month of a UNIX time began, in UTC."""
    return (
        datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    )


async def count(services: Mapping[str, Service], monitors: Monitors, now: float, key: str = "") -> Tokens:
    """The tokens of this month from Prometheus, or else those that the servers have counted.

    The servers are shown the key.
    """
    problem = "no Prometheus is declared"
    if monitors.prometheus is not None:
        async with client(servers=False) as http:
            try:
                return await _from_prometheus(http, monitors, services, now)
            except UnansweredError as error:
                problem = f"Prometheus at {monitors.prometheus}: {error}"
    async with client(servers=True, key=key) as http:
        return await _from_servers(http, services, problem, now)


async def _from_prometheus(
    http: httpx.AsyncClient, monitors: Monitors, services: Mapping[str, Service], now: float
) -> Tokens:
    length = int(now - month_start(now)) + 1
    seen = 'timestamp(genesis_ready{job="genesis"})'
    first = await monitors.instant(
        http, f"min by (model) (min_over_time({seen}[{length}s:1m]) or {seen})", now
    )  # to the minute, and to the last scrape within the first one
    found = {
        kind: await monitors.instant(
            http, f'sum by (model) (increase({name}{{job="genesis"}}[{length}s]))', now
        )
        for kind, name in COUNTERS.items()
    }
    served, problems = {}, []
    for model in services:
        if model not in first or any(model not in values for values in found.values()):
            problems.append(f"{model}: Prometheus has no figures of it this month")
            continue
        served[model] = Served(first[model], **{kind: values[model] for kind, values in found.items()})
    if not served:
        raise UnansweredError("it has no figures of these models this month")
    return Tokens(f"Prometheus at {monitors.prometheus}", served, tuple(problems))


async def _from_servers(
    http: httpx.AsyncClient, services: Mapping[str, Service], problem: str, now: float
) -> Tokens:
    problems = [f"{problem}: these are the servers' own counters, and what earlier processes served is lost"]
    served: dict[str, Served] = {}
    for model, service in services.items():
        try:
            served[model] = _counted(await read_exposition(http, base_url(service)))
        except UnansweredError as error:
            problems.append(f"{model}: {error}")
            continue
        if served[model].since < month_start(now):
            problems.append(f"{model}: its process counts since before this month began")
    return Tokens("the servers' counters", served, tuple(problems))


def _counted(said: Exposition) -> Served:
    values = {kind: said.total(name) for kind, name in COUNTERS.items()}
    since = said.total("genesis_start_time_seconds")
    if since is None or None in values.values():
        raise UnansweredError("its /metrics lack what it has served; is it still loading?")
    return Served(since, **{kind: value or 0.0 for kind, value in values.items()})
