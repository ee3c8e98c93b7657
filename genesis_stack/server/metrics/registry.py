"""GET /metrics: Prometheus text from the engine's counters and the exchanges served.

The `llamacpp:` names are llama-server's, which existing dashboards expect. Everything exists from the
start, at zero, so that ratios over it are defined.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from genesis_stack.engine.interface import EngineState, EngineStats, EngineUnavailableError
from genesis_stack.server.exchange import Exchange
from genesis_stack.server.served_model import ServedModel

_LATENCY_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
"""Seconds; CPUs take minutes where GPUs take seconds."""

_PAGE: Final = resource.getpagesize()


class Metrics:
    """The registry of one server."""

    def __init__(self, served: ServedModel) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_ModelCollector(served))
        self._requests = Counter(
            "genesis_http_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self._ignored = Counter(
            "genesis_ignored_fields", "Unknown top-level request fields ignored.", registry=self._registry
        )
        self._latency = Histogram(
            "llamacpp:request_latency_seconds",
            "Whole duration of generating requests that succeeded.",
            buckets=_LATENCY_BUCKETS,
            registry=self._registry,
        )

        self._first_token = Histogram(
            "genesis_time_to_first_token_seconds",
            "From the request to its first output, queueing included.",
            buckets=_LATENCY_BUCKETS,
            registry=self._registry,
        )

    def observe(self, exchange: Exchange, seconds: float) -> None:
        """Count a finished exchange; unknown paths share one label."""
        self._requests.labels(exchange.route or "unknown", str(exchange.status)).inc()
        self._ignored.inc(len(exchange.ignored_fields))
        if exchange.usage is not None:
            self._latency.observe(seconds)
        if exchange.first_output is not None:
            self._first_token.observe(exchange.first_output - exchange.started)

    def response(self) -> Response:
        """All of it as Prometheus text."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class _ModelCollector(Collector):
    """Reads the model's state and the engine's statistics at scrape time."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served

    def collect(self) -> Iterable[Metric]:
        """All families; those of the engine appear once it is loaded."""
        yield _gauge(
            "genesis_ready", "1 while the model admits requests.", self._served.state is EngineState.READY
        )
        yield _gauge("process_resident_memory_bytes", "Resident memory.", _resident_bytes())
        try:
            stats = self._served.engine.stats()
        except EngineUnavailableError:
            return
        yield from _engine_families(stats)


def _engine_families(stats: EngineStats) -> Iterable[Metric]:
    prefilled = stats.prompt_tokens_total
    counters = {
        "llamacpp:prompt_tokens": ("Prompt tokens processed.", prefilled),
        "llamacpp:tokens_predicted": ("Tokens generated.", stats.generated_tokens_total),
        "llamacpp:prompt_seconds": ("Prompt process time.", stats.prefill_seconds_total),
        "llamacpp:tokens_predicted_seconds": ("Generation process time.", stats.decode_seconds_total),
        "llamacpp:n_decode": ("llama_decode calls.", stats.steps_total),
        "genesis_cached_prompt_tokens": (
            "Prompt tokens taken from the prefix cache.",
            stats.cached_tokens_total,
        ),
    }
    gauges = {
        "llamacpp:prompt_tokens_seconds": (
            "Average prompt throughput, tokens/s.",
            _ratio(prefilled, stats.prefill_seconds_total),
        ),
        "llamacpp:predicted_tokens_seconds": (
            "Average generation throughput, tokens/s.",
            _ratio(stats.generated_tokens_total, stats.decode_seconds_total),
        ),
        "llamacpp:requests_processing": ("Requests being processed.", stats.requests_running),
        "llamacpp:requests_deferred": ("Requests waiting.", stats.requests_waiting),
        "llamacpp:n_busy_slots_per_decode": (
            "Average busy sequences per llama_decode call.",
            _ratio(stats.busy_slots_total, stats.steps_total),
        ),
        "llamacpp:kv_cache_usage_ratio": (
            "KV cache in use, 0 to 1.",
            _ratio(stats.kv_cells_used, stats.kv_cells),
        ),
        "genesis_waiting_prompt_tokens": ("Prompt tokens waiting.", stats.waiting_prompt_tokens),
    }
    for name, (text, value) in counters.items():
        yield CounterMetricFamily(name, text, value=value)
    for name, (text, value) in gauges.items():
        yield _gauge(name, text, value)
    finished = CounterMetricFamily(
        "genesis_requests_finished", "Requests by how they ended.", labels=["reason"]
    )
    for reason, count in stats.requests_finished_total.items():
        finished.add_metric([reason], count)
    yield finished


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _ratio(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor else 0.0


def _resident_bytes() -> int:
    """From proc(5) statm, which ProcSubset=pid leaves visible."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
