"""One look at one server: its `/health`, and the figures of its `/metrics`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genesis_stack.backends import Health, Service
from genesis_stack.dashboard.asking import UnansweredError, get_json, get_text
from genesis_stack.dashboard.exposition import Exposition, Histogram
from genesis_stack.spec.addresses import authority, from_here

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class Figures:
    """What a server has counted since it started, and its gauges; None where it does not say.

    `started` is a UNIX time, `memory` bytes, `kv_cache` a fraction of 1; histograms count seconds.
    """

    started: float | None
    requests: float | None
    errors: float | None
    prompt_tokens: float | None
    generated_tokens: float | None
    processing: float | None
    deferred: float | None
    kv_cache: float | None
    memory: float | None
    first_token: Histogram
    latency: Histogram
    inter_token: Histogram


@dataclass(frozen=True, slots=True)
class Reading:
    """A look at UNIX time `at`; `problem` says why there are no figures."""

    at: float
    health: Health
    figures: Figures | None = None
    problem: str = ""


def base_url(service: Service) -> str:
    """Where a server of this host is reached."""
    return f"{'https' if service.tls else 'http'}://{authority(from_here(service.host), service.port)}"


async def look(http: httpx.AsyncClient, url: str) -> Reading:
    """Ask the server at `url`; what goes wrong is part of the reading."""
    try:
        said = await get_json(http, f"{url}/health", fine=range(200, 600))
        names = ("status", "model_digest", "config_digest", "reason", "access_digest")
        health = Health(*(str(said.get(name, "")) for name in names))
    except (UnansweredError, AttributeError) as error:
        return Reading(time.time(), Health("unreachable", detail=str(error)), problem=str(error))
    try:
        figures = read_figures(await read_exposition(http, url))
    except UnansweredError as error:
        return Reading(time.time(), health, problem=f"no figures: {error}")
    return Reading(time.time(), health, figures)


async def read_exposition(http: httpx.AsyncClient, url: str) -> Exposition:
    """The server's `/metrics`; raises UnansweredError."""
    text = await get_text(http, f"{url}/metrics")
    try:
        return Exposition.parse(text)
    except ValueError as error:
        raise UnansweredError(f"its /metrics cannot be read: {error}") from None


def read_figures(said: Exposition) -> Figures:
    """The figures that are shown, by their names in docs/metrics.md."""
    return Figures(
        started=said.total("genesis_start_time_seconds"),
        requests=said.total("genesis_http_requests_total", route="/v1/"),
        errors=said.total("genesis_http_requests_total", route="/v1/", status="5"),
        prompt_tokens=said.total("llamacpp:prompt_tokens_total"),
        generated_tokens=said.total("llamacpp:tokens_predicted_total"),
        processing=said.total("llamacpp:requests_processing"),
        deferred=said.total("llamacpp:requests_deferred"),
        kv_cache=said.total("llamacpp:kv_cache_usage_ratio"),
        memory=said.total("genesis_memory_resident_bytes"),
        first_token=said.histogram("genesis_time_to_first_token_seconds"),
        latency=said.histogram("llamacpp:request_latency_seconds"),
        inter_token=said.histogram("genesis_inter_token_latency_seconds"),
    )
