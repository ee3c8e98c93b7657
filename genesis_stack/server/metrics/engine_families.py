"""The model and its engine, as families of metrics; made at each scrape from counters that exist anyway."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from genesis_stack import __version__
from genesis_stack.engine.interface import Distribution, EngineState, EngineStats
from genesis_stack.server.served_model import SERVING, ServedModel


def model_families(served: ServedModel) -> Iterable[Metric]:
    """What is served and how it is set up; known before the model is loaded."""
    config = served.config
    state = served.state
    yield GaugeMetricFamily("genesis_ready", "1 while requests are served.", float(state in SERVING))
    loaded = float(state is EngineState.READY)
    yield GaugeMetricFamily("genesis_model_loaded", "1 while the model is in memory and ready.", loaded)
    yield GaugeMetricFamily("genesis_start_time_seconds", "Unix time of the start.", served.created)
    yield GaugeMetricFamily(
        "genesis_queue_capacity_requests", "Requests that may wait.", config.engine.queue_requests
    )
    model = {"name": config.model, "task": config.task, "digest": config.weights.sha256}
    yield InfoMetricFamily("genesis_model", "The model that is served.", model)
    setup = {
        "digest": served.config_digest,
        "context": str(config.engine.context),
        "parallel": str(config.engine.parallel),
        "kv_cache": config.engine.kv_cache,
        "speculation": config.engine.speculation,
    }
    yield InfoMetricFamily("genesis_config", "The configuration that is in force.", setup)
    yield InfoMetricFamily("genesis_build", "The programs that serve.", _build())


@cache
def _build() -> dict[str, str]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "llama_cpp_python": version("llama-cpp-python"),
    }


def engine_families(stats: EngineStats) -> Iterable[Metric]:
    """llama-server's families and those that it lacks."""
    yield from _counters(stats)
    yield from _gauges(stats)
    yield _histogram("genesis_queue_seconds", "Waiting time of one request.", stats.queue_times)
    yield _histogram("genesis_prefill_seconds", "Prompt processing of one request.", stats.prefill_times)
    yield _histogram(
        "genesis_decode_seconds", "Generation of one request after its first token.", stats.decode_times
    )
    yield _histogram(
        "genesis_inter_token_latency_seconds", "Time between two tokens of a choice.", stats.inter_token_times
    )
    finished = CounterMetricFamily(
        "genesis_requests_finished", "Requests by how they ended.", labels=["reason"]
    )
    for reason, count in stats.requests_finished_total.items():
        finished.add_metric([reason], count)
    yield finished


def _counters(stats: EngineStats) -> Iterable[Metric]:
    families = {
        "llamacpp:prompt_tokens": ("Prompt tokens processed.", stats.prompt_tokens_total),
        "llamacpp:tokens_predicted": ("Tokens generated.", stats.generated_tokens_total),
        "llamacpp:prompt_seconds": ("Prompt process time.", stats.prefill_seconds_total),
        "llamacpp:tokens_predicted_seconds": ("Generation process time.", stats.decode_seconds_total),
        "llamacpp:n_decode": ("llama_decode calls.", stats.steps_total),
        "genesis_cached_prompt_tokens": (
            "Prompt tokens taken from the prefix cache.",
            stats.cached_tokens_total,
        ),
        "genesis_speculation_drafted_tokens": ("Tokens guessed.", stats.drafted_tokens_total),
        "genesis_speculation_accepted_tokens": ("Guesses that were right.", stats.accepted_tokens_total),
    }
    for name, (text, value) in families.items():
        yield CounterMetricFamily(name, text, value)


def _gauges(stats: EngineStats) -> Iterable[Metric]:
    families = {
        "llamacpp:prompt_tokens_seconds": (
            "Average prompt throughput, tokens/s.",
            _ratio(stats.prompt_tokens_total, stats.prefill_seconds_total),
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
    for name, (text, value) in families.items():
        yield GaugeMetricFamily(name, text, float(value))


def _histogram(name: str, text: str, seen: Distribution) -> Metric:
    """Prometheus wants each bucket to count all that is below it too."""
    bounds = (*map(floatToGoString, seen.bounds), "+Inf")
    buckets = list(zip(bounds, accumulate(seen.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets, seen.sum)


def _ratio(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor else 0.0
