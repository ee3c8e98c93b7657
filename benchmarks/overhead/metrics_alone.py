"""What the metrics of a request and of a token cost: they cannot be off, so they are measured alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.serving.peers import Setup, serve_config
from genesis_stack.engine.histogram import Histogram
from genesis_stack.engine.interface import Timings, Usage
from genesis_stack.engine.template_process import TemplateProcess
from genesis_stack.server.audit import open_trail
from genesis_stack.server.exchange import Exchange
from genesis_stack.server.metrics import Metrics
from genesis_stack.server.served_model import ServedModel

TIMES: Final = 5000
BOUNDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def metrics_cost() -> tuple[float, float]:
    """Seconds a request (its counters and histograms) and a token (the time between two, counted)."""
    setup = Setup(Path(__file__), threads=1, context=2048, slots=1)
    config = serve_config(setup, 1, {})
    metrics = Metrics(
        ServedModel(config, "0" * 64, TemplateProcess()), ["/v1/completions"], open_trail(config)
    )
    exchange = Exchange("id", "POST", "/v1/completions", "127.0.0.1", sampled=True, trace_id="0" * 32)
    exchange.route, exchange.status, exchange.finish = "/v1/completions", 200, "length"
    exchange.first_output, exchange.usage = exchange.started + 0.1, Usage(100, 65, 90)
    exchange.timings = Timings(0.001, 0.1, 1.0)
    histogram = Histogram(BOUNDS)
    return _seconds(lambda: metrics.observe(exchange, 1.0)), _seconds(lambda: histogram.observe(0.015))


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    for _ in range(TIMES):
        work()
    return (time.perf_counter() - start) / TIMES
