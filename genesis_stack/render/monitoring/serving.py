"""The built-in alerts about one model's server, from the metrics that it exports itself."""

from __future__ import annotations

from typing import Final

from genesis_stack.render.monitoring.rule import (
    JOB,
    NUMBER,
    SECONDS,
    SHARE,
    Alarm,
    Body,
    Series,
    Watched,
    always,
    number,
    show_number,
    show_seconds,
    show_share,
    span,
)
from genesis_stack.spec.alerts import HIGH_MEMORY

PROBES: Final = "/health|/metrics|unknown"
"""Routes that are no work for anyone: many of them, and never failing, they would hide those that fail."""
ERROR_RATE: Final = 0.05
"""Share of failed requests that is told where nothing is promised."""


def _down(on: Watched, _: float) -> Body:
    return Body(
        expr=f"max by (instance) ({on.metric('up')}) == 0",
        summary=f"{on.name} does not answer",
        description="Prometheus cannot read its metrics: the server is stopped, hangs, or is still starting.",
        fires={on.sample("up"): (0, 0)},
        silent=({on.sample("up"): (1, 0)},),
        labels={"instance": on.instance},
    )


def _missing(on: Watched, _: float) -> Body:
    """Every other model's and the exporter's target are there: their rules of this name stay silent."""
    present: Series = {
        'up{instance="exporter",job="genesis-host"}': (1, 0),
        **{
            Watched(on.stack, name, on.step).sample("up"): (1, 0)
            for name in on.stack.models
            if name != on.name
        },
    }
    return Body(
        expr=f"absent({on.metric('up')})",
        summary=f"nobody watches {on.name}",
        description="Prometheus has no target for it, so no other alert about it can fire.",
        fires=present,
        silent=({**present, on.sample("up"): (1, 0)}, {**present, on.sample("up"): (0, 0)}),
        labels={"job": JOB},
    )


def _not_ready(on: Watched, _: float) -> Body:
    return Body(
        expr=f"max by (instance) ({on.metric('genesis_ready')}) == 0",
        summary=f"{on.name} runs but serves nobody",
        description="The process answers and its model is not ready: loading, draining, or failed.",
        fires={on.sample("genesis_ready"): (0, 0)},
        silent=({on.sample("genesis_ready"): (1, 0)},),
        labels={"instance": on.instance},
    )


def _restarts(on: Watched, limit: float) -> Body:
    window = span(on.step * 60)
    own = f"max(changes({on.metric('genesis_start_time_seconds')}[{window}])) > {number(limit)}"
    host = f"max(increase({on.host_metric('genesis_host_restarts_total')}[{window}])) > {number(limit)}"
    return Body(
        expr=f"{own} or {host}",
        summary=f"{on.name} starts again and again",
        description=f"More than {limit:g} starts within {window}.",
        fires={on.sample("genesis_start_time_seconds"): (1000, 1)},
        silent=(
            {on.sample("genesis_start_time_seconds"): (1000, 0)},
            {on.host_sample("genesis_host_restarts_total"): (7, 0)},
        ),
    )


def _slow(on: Watched, limit: float, metric: str, what: str, advice: str) -> Body:
    """The 95th percentile of a histogram above a limit in seconds."""
    rate = f"rate({on.metric(f'{metric}_bucket')}[{on.window}])"

    def buckets(first: float, *adds: float) -> Series:
        bounds = (*(number(first * factor) for factor in (1, 2)), "+Inf")
        labels = (f'le="{bound}"' for bound in bounds)
        return {
            on.sample(f"{metric}_bucket", label): (0, add) for label, add in zip(labels, adds, strict=True)
        }

    return Body(
        expr=f"histogram_quantile(0.95, sum by (instance, le) ({rate})) > {number(limit)}",
        summary=f"{on.name}: {what} is late",
        description=f"One request in 20 waits {SECONDS} or longer; the limit is {limit:g} s. {advice}",
        fires=buckets(limit, 0, 10, 10),
        silent=(buckets(limit / 2, 10, 10, 10), buckets(limit, 0, 0, 0)),
        shown=show_seconds(limit * 1.95),
        labels={"instance": on.instance},
    )


def _latency(on: Watched, limit: float) -> Body:
    advice = "Compare queue, prefill and decode time."
    return _slow(on, limit, "llamacpp:request_latency_seconds", "the whole answer", advice)


def _first_token(on: Watched, limit: float) -> Body:
    advice = "Long prompts or a queue hold it up."
    return _slow(on, limit, "genesis_time_to_first_token_seconds", "the first token", advice)


def _errors(on: Watched, limit: float) -> Body:
    def ratio(share: float) -> Series:
        route = 'route="/v1/chat/completions"'
        return {
            on.sample("genesis_http_requests_total", route, 'status="500"'): (0, 100 * share),
            on.sample("genesis_http_requests_total", route, 'status="200"'): (0, 100 * (1 - share)),
            on.sample("genesis_http_requests_total", 'route="/health"', 'status="200"'): (0, 10_000),
        }

    failing = (1 + limit) / 2
    return Body(
        expr=f"{error_share(on, on.window)} > {number(limit)}",
        summary=f"{on.name} fails requests",
        description=f"{SHARE} of the requests end with a 5xx status; the limit is {show_share(limit)}.",
        fires=ratio(failing),
        silent=(ratio(limit / 2), ratio(0)),
        shown=show_share(failing),
        labels={"instance": on.instance},
    )


def error_share(on: Watched, window: str) -> str:
    """The share of requests that failed by the server's fault; undefined, and so below any limit, without."""
    probes = f'route!~"{PROBES}"'
    failed = on.metric("genesis_http_requests_total", probes, 'status=~"5.."')
    every = on.metric("genesis_http_requests_total", probes)
    return f"sum by (instance) (rate({failed}[{window}])) / sum by (instance) (rate({every}[{window}]))"


def _memory(on: Watched, limit: float) -> Body:
    budget = on.model.budget.memory
    resident = "genesis_memory_resident_bytes"
    used = (1 + limit) / 2
    return Body(
        expr=f"max by (instance) ({on.metric(resident)}) / {budget} > {number(limit)}",
        summary=f"{on.name} comes close to its memory budget",
        description=f"{SHARE} of {budget / 2**30:.3g} GiB are resident; above all of it the server is ended.",
        fires={on.sample(resident): (used * budget, 0)},
        silent=({on.sample(resident): (limit * budget * 0.9, 0)},),
        shown=show_share(used),
        labels={"instance": on.instance},
    )


def _throughput(on: Watched, limit: float) -> Body:
    tokens, seconds = "genesis_completion_tokens_sum", "genesis_decode_seconds_sum"
    rates = (f"sum by (instance) (rate({on.metric(name)}[{on.window}]))" for name in (tokens, seconds))

    def answers(rate: float, busy: float) -> Series:
        return {on.sample(tokens): (0, rate * busy), on.sample(seconds): (0, busy)}

    return Body(
        expr=f"{' / '.join(rates)} < {number(limit)}",
        summary=f"{on.name} generates slowly",
        description=f"An answer grows by {NUMBER} tokens a second; {limit:g} are promised.",
        fires=answers(limit / 2, 10),
        silent=(answers(limit * 2, 10), answers(limit, 0)),
        shown=show_number(limit / 2),
        labels={"instance": on.instance},
    )


def _queue(on: Watched, limit: float) -> Body:
    engine = on.model.engine
    requests, tokens = "llamacpp:requests_deferred", "genesis_waiting_prompt_tokens"
    shares = (
        f"max by (instance) ({on.metric(name)}) / {size} > {number(limit)}"
        for name, size in ((requests, engine.queue_requests), (tokens, engine.queue_tokens))
    )
    return Body(
        expr=" or ".join(shares),
        summary=f"{on.name}: its queue is nearly full",
        description=f"{SHARE} of the queue is taken; when it is full, requests are refused.",
        fires={on.sample(requests): (engine.queue_requests, 0), on.sample(tokens): (0, 0)},
        silent=({on.sample(requests): (engine.queue_requests * limit / 2, 0), on.sample(tokens): (0, 0)},),
        shown="100%",
        labels={"instance": on.instance},
    )


def _cache(on: Watched, limit: float) -> Body:
    """A full cache alone is no harm: idle prefixes fill it and leave when their room is needed."""
    usage, waiting = "llamacpp:kv_cache_usage_ratio", "llamacpp:requests_deferred"
    return Body(
        expr=f"max by (instance) ({on.metric(usage)}) > {number(limit)} "
        f"and max by (instance) ({on.metric(waiting)}) > 0",
        summary=f"{on.name}: its KV cache is full and requests wait",
        description=f"{SHARE} of the cells are taken while requests wait for room.",
        fires={on.sample(usage): (1, 0), on.sample(waiting): (3, 0)},
        silent=(
            {on.sample(usage): (1, 0), on.sample(waiting): (0, 0)},
            {on.sample(usage): (limit / 2, 0), on.sample(waiting): (3, 0)},
        ),
        shown="100%",
        labels={"instance": on.instance},
    )


def _throttled(on: Watched, limit: float) -> Body:
    held, every = "genesis_cpu_throttled_periods_total", "genesis_cpu_periods_total"
    rates = (f"sum by (instance) (rate({on.metric(name)}[{on.window}]))" for name in (held, every))
    share = (1 + limit) / 2
    return Body(
        expr=f"{' / '.join(rates)} > {number(limit)}",
        summary=f"{on.name} is held back by its CPU budget",
        description=f"In {SHARE} of the scheduling periods it had used up its quota.",
        fires={on.sample(held): (0, 100 * share), on.sample(every): (0, 100)},
        silent=(
            {on.sample(held): (0, 50 * limit), on.sample(every): (0, 100)},
            {on.sample(held): (0, 0), on.sample(every): (0, 0)},
        ),
        shown=show_share(share),
        labels={"instance": on.instance},
    )


def _integrity(on: Watched, _: float) -> Body:
    intact = "genesis_host_model_file_intact"
    return Body(
        expr=f"max by (instance) ({on.host_metric(intact)}) == 0",
        summary=f"{on.name}: its model file is not the one that was verified",
        description="A file in the model store is missing or changed since its digest was checked.",
        fires={on.host_sample(intact): (0, 0)},
        silent=({on.host_sample(intact): (1, 0)},),
        labels={"instance": "exporter"},
    )


def _audit(on: Watched, _: float) -> Body:
    return Body(
        expr=f"max by (instance) ({on.metric('genesis_audit_failing')}) == 1",
        summary=f"{on.name} cannot write its audit record",
        description="Records wait in its memory; when 10,000 wait, or when it stops, they are lost.",
        fires={on.sample("genesis_audit_failing"): (1, 0)},
        silent=({on.sample("genesis_audit_failing"): (0, 0)},),
        labels={"instance": on.instance},
    )


def drifted(on: Watched, _: float) -> Body:
    """The host, or what belongs to one model, is not as it was applied."""
    drift = "genesis_host_drift"
    what = on.name or "the host"
    return Body(
        expr=f"max by (instance) ({on.host_metric(drift)}) > 0",
        summary=f"{what} is not as it was applied",
        description="Somebody changed files, units or limits by hand: see `genesis-stack drift`.",
        fires={on.host_sample(drift): (1, 0)},
        silent=({on.host_sample(drift): (0, 0)},),
        labels={"instance": "exporter"},
    )


SERVING: Final = (
    Alarm("ServerDown", "page", 60, always(0), _down),
    Alarm("TargetMissing", "ticket", 300, always(0), _missing),
    Alarm("NotReady", "page", 300, always(0), _not_ready),
    Alarm("RestartLoop", "page", 0, always(3), _restarts),
    Alarm("HighLatency", "ticket", 300, lambda on: on.model.slo.latency_p95, _latency),
    Alarm("SlowFirstToken", "ticket", 300, lambda on: on.model.slo.ttft_p95, _first_token),
    Alarm("LowThroughput", "ticket", 900, lambda on: on.model.slo.tokens_per_second, _throughput),
    Alarm("HighErrorRate", "page", 300, lambda on: on.model.slo.error_rate or ERROR_RATE, _errors),
    Alarm("HighMemoryUsage", "ticket", 600, always(HIGH_MEMORY), _memory),
    Alarm("QueueSaturated", "ticket", 120, always(0.8), _queue),
    Alarm("KVCacheFull", "ticket", 600, always(0.95), _cache),
    Alarm("CPUThrottled", "ticket", 900, always(0.25), _throttled),
    Alarm("AuditFailing", "page", 60, always(0), _audit),
    Alarm("ModelIntegrity", "page", 0, always(0), _integrity),
    Alarm("Drifted", "ticket", 600, always(0), drifted),
)
"""In the order of the rendered file: what is down first, then what is slow, full, or odd."""
