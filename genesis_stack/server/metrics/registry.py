"""GET /metrics: Prometheus text from the engine's counters, the process and the exchanges served.

The `llamacpp:` names are llama-server's, which existing dashboards expect. Everything exists from the
start, at zero, so that ratios over it are defined. Only what is declared or fixed becomes a label, so that
no client can invent series.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.responses import Response

from genesis_stack.engine.interface import EngineUnavailableError, Usage
from genesis_stack.server.admission import Admission
from genesis_stack.server.audit import AuditTrail
from genesis_stack.server.exchange import POLLED_PATHS, Exchange
from genesis_stack.server.metrics.audit_families import audit_families
from genesis_stack.server.metrics.connection_families import ConnectionFamilies
from genesis_stack.server.metrics.engine_families import engine_families, model_families
from genesis_stack.server.metrics.process_families import ProcessFamilies
from genesis_stack.server.metrics.rejection import Rejection
from genesis_stack.server.served_model import ServedModel

LATENCY_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120, 300, 600)
"""Seconds; CPUs take minutes where GPUs take seconds."""

TOKEN_BOUNDS: Final = tuple(2**power for power in range(3, 18))
"""Tokens of one request: 8 to 131,072."""

OPENMETRICS: Final = "application/openmetrics-text"

OTHER: Final = "other"
"""The client label of requests that no declared client made."""

AUTH_SCHEMES: Final = ("bearer", "signature", "none")
LIMITS: Final = ("requests", "tokens", "concurrent")
GUARD_VERDICTS: Final = ("clean", "flagged", "blocked")
TOKEN_KINDS: Final = ("prompt", "cached", "completion")
_USUAL_STATUSES: Final = (200, 400, 401, 429, 500, 503)

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The registry of one server; `routes` are the paths that it serves."""

    def __init__(self, served: ServedModel, routes: Collection[str], audit: AuditTrail) -> None:
        self._registry = registry = CollectorRegistry()
        registry.register(_ScrapeTime(served, audit))
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self._requests = counter("genesis_http_requests", "Requests answered.", ["route", "status"])
        self._rejected = counter("genesis_rejected_requests", "Requests refused, by why.", ["reason"])
        self._auth_failures = counter(
            "genesis_auth_failures",
            "Requests that proved no declared client, by what they showed.",
            ["scheme"],
        )
        self._limited = counter(
            "genesis_rate_limited", "Requests refused by a client's limit.", ["client", "limit"]
        )
        self._verdicts = counter("genesis_guard_verdicts", "Prompts looked at, by verdict.", ["verdict"])
        self._client_requests = counter("genesis_client_requests", "Requests by client.", ["client"])
        self._client_tokens = counter("genesis_client_tokens", "Tokens by client.", ["client", "kind"])
        self._ignored = counter("genesis_ignored_fields", "Unknown top-level request fields ignored.")
        self._latency = histogram(
            "llamacpp:request_latency_seconds",
            "Whole duration of generating requests that succeeded.",
            buckets=LATENCY_BOUNDS,
        )
        self._first_token = histogram(
            "genesis_time_to_first_token_seconds",
            "From the request to its first output, queueing included.",
            buckets=LATENCY_BOUNDS,
        )
        self._prompt_tokens = histogram(
            "genesis_prompt_tokens", "Prompt tokens of one request.", buckets=TOKEN_BOUNDS
        )
        self._completion_tokens = histogram(
            "genesis_completion_tokens", "Generated tokens of one request.", buckets=TOKEN_BOUNDS
        )
        self._start_at_zero(routes)
        self.declare_clients(())

    def _start_at_zero(self, routes: Collection[str]) -> None:
        for route in (*routes, "unknown"):
            for status in _USUAL_STATUSES:
                self._requests.labels(route, str(status))
        for reason in Rejection:
            self._rejected.labels(reason.value)
        for scheme in AUTH_SCHEMES:
            self._auth_failures.labels(scheme)
        for verdict in GUARD_VERDICTS:
            self._verdicts.labels(verdict)

    def declare_clients(self, names: Iterable[str]) -> None:
        """Let these clients be labels, at zero; call it again when the declared clients change."""
        for name in (*names, OTHER):
            self._client_requests.labels(name)
            for limit in LIMITS:
                self._limited.labels(name, limit)
            for kind in TOKEN_KINDS:
                self._client_tokens.labels(name, kind)

    def watch(self, admission: Admission) -> None:
        """Tell of connections too."""
        self._registry.register(ConnectionFamilies(admission))

    def observe(self, exchange: Exchange, seconds: float) -> None:
        """Count a finished exchange; unknown paths share one label."""
        status = exchange.outcome
        client = exchange.client or OTHER
        self._requests.labels(exchange.route or "unknown", str(int(status))).inc()
        if exchange.path not in POLLED_PATHS:
            self._client_requests.labels(client).inc()
        if (reason := Rejection.of(status, exchange.error)) is not None:
            self._rejected.labels(reason.value).inc()
        if exchange.auth_failure is not None:
            self._auth_failures.labels(exchange.auth_failure).inc()
        if exchange.limited is not None:
            self._limited.labels(client, exchange.limited).inc()
        if exchange.guard is not None:
            self._verdicts.labels(exchange.guard.outcome).inc()
        self._ignored.inc(len(exchange.ignored_fields))
        exemplar = {"trace_id": exchange.trace_id} if exchange.sampled else None
        if exchange.first_output is not None:
            self._first_token.observe(exchange.first_output - exchange.started, exemplar)
        if exchange.usage is not None:
            self._count_tokens(client, exchange.usage, generated=exchange.finish is not None)
            if status == HTTPStatus.OK:
                self._latency.observe(seconds, exemplar)

    def _count_tokens(self, client: str, usage: Usage, *, generated: bool) -> None:
        self._prompt_tokens.observe(usage.prompt_tokens)
        if generated:
            self._completion_tokens.observe(usage.completion_tokens)
        counts = (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
        for kind, count in zip(TOKEN_KINDS, counts, strict=True):
            self._client_tokens.labels(client, kind).inc(count)

    def response(self, accept: str) -> Response:
        """All of it, in OpenMetrics text with exemplars where `accept` asks for that.

        Every other escaping of prometheus_client writes `llamacpp_` there, though a colon is as good as any
        letter, and the series would change their names with who asks.
        """
        if OPENMETRICS in accept:
            content = openmetrics.generate_latest(  # type: ignore[no-untyped-call]
                self._registry, escaping=openmetrics.ALLOWUTF8
            )
            return Response(content, media_type=openmetrics.CONTENT_TYPE_LATEST)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _ScrapeTime(Collector):
    """Reads the model's state, the engine's statistics and the process when it is scraped."""

    def __init__(self, served: ServedModel, audit: AuditTrail) -> None:
        self._served = served
        self._audit = audit
        self._process = ProcessFamilies(served.config.budget)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All families; those of the engine appear once it has been loaded."""
        yield from model_families(self._served)
        yield from self._process.collect()
        yield from audit_families(self._audit.standing)
        try:
            stats = self._served.stats()
        except EngineUnavailableError:
            return
        yield from engine_families(stats)
