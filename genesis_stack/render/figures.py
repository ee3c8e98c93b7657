"""What is worth plotting of a running stack, as PromQL: one table for Grafana and for the built-in page.

`SELECTOR` stands for label matchers and `WINDOW` for the range of a rate; `Line.query` fills them in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Unit = Literal["short", "s", "bytes", "percentunit", "reqps"]
"""A unit as Grafana names it; `percentunit` is a fraction of 1."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot; `legend` may name labels as Grafana does: `{{reason}}`."""

    legend: str
    expr: str

    def query(self, selector: str, window: str) -> str:
        """The PromQL, over series that match `selector` (`job="genesis"`) and rates over `window` (`5m`)."""
        return self.expr.replace("SELECTOR", selector).replace("WINDOW", window)


@dataclass(frozen=True, slots=True)
class Figure:
    """One plot; `about` says what to read in it, `slo` which promise of a model is its limit."""

    title: str
    unit: Unit
    lines: tuple[Line, ...]
    about: str = ""
    slo: Literal["ttft_p95", "latency_p95", "itl_p99"] | None = None


def _rate(series: str, by: str = "model") -> str:
    return f"sum by ({by}) (rate({series}{{SELECTOR}}[WINDOW]))"


def _quantile(legend: str, share: float, histogram: str) -> Line:
    buckets = f"sum by (model, le) (rate({histogram}_bucket{{SELECTOR}}[WINDOW]))"
    return Line(legend, f"histogram_quantile({share:g}, {buckets})")


def _quantiles(histogram: str) -> tuple[Line, ...]:
    return tuple(_quantile(f"p{share * 100:g}", share, histogram) for share in (0.5, 0.95, 0.99))


def _gauge(series: str) -> str:
    return f"max by (model) ({series}{{SELECTOR}})"


TOKENS: Final = Figure(
    "Tokens per second",
    "short",
    (
        Line("generated", _rate("llamacpp:tokens_predicted_total")),
        Line("prompt", _rate("llamacpp:prompt_tokens_total")),
        Line("prompt, from the prefix cache", _rate("genesis_cached_prompt_tokens_total")),
    ),
    "All requests of a server together.",
)
FIRST_TOKEN: Final = Figure(
    "Time to first token",
    "s",
    _quantiles("genesis_time_to_first_token_seconds"),
    "Queueing included.",
    slo="ttft_p95",
)
LATENCY: Final = Figure(
    "Request latency",
    "s",
    _quantiles("llamacpp:request_latency_seconds"),
    "Whole requests that succeeded, queueing included.",
    slo="latency_p95",
)
MEMORY: Final = Figure(
    "Memory",
    "bytes",
    (
        Line("resident", _gauge("genesis_memory_resident_bytes")),
        Line("cgroup", _gauge("genesis_memory_cgroup_bytes")),
        Line("budget", _gauge("genesis_memory_budget_bytes")),
    ),
    "Against the budget that the kernel, or the memory guard, holds the server to.",
)

MODEL: Final = (
    TOKENS,
    FIRST_TOKEN,
    LATENCY,
    Figure(
        "Between two tokens",
        "s",
        _quantiles("genesis_inter_token_latency_seconds"),
        "What a reader sees as speed.",
        slo="itl_p99",
    ),
    Figure(
        "Where the time goes",
        "s",
        (
            _quantile("waiting", 0.95, "genesis_queue_seconds"),
            _quantile("reading the prompt", 0.95, "genesis_prefill_seconds"),
            _quantile("writing the answer", 0.95, "genesis_decode_seconds"),
        ),
        "95th percentile of each phase.",
    ),
    Figure(
        "Requests",
        "short",
        (
            Line("running", _gauge("llamacpp:requests_processing")),
            Line("waiting", _gauge("llamacpp:requests_deferred")),
            Line("queue capacity", _gauge("genesis_queue_capacity_requests")),
        ),
    ),
    Figure(
        "Answers by status",
        "reqps",
        (Line("{{status}}", _rate("genesis_http_requests_total", "model, status")),),
    ),
    Figure(
        "Refused",
        "reqps",
        (Line("{{reason}}", _rate("genesis_rejected_requests_total", "model, reason")),),
    ),
    MEMORY,
    Figure(
        "KV cache and batch",
        "percentunit",
        (
            Line("KV cache in use", _gauge("llamacpp:kv_cache_usage_ratio")),
            Line(
                "prompt tokens from the prefix cache",
                f"{_rate('genesis_cached_prompt_tokens_total')} / ({_rate('llamacpp:prompt_tokens_total')}"
                f" + {_rate('genesis_cached_prompt_tokens_total')})",
            ),
            Line(
                "guessed tokens accepted",
                f"{_rate('genesis_speculation_accepted_tokens_total')}"
                f" / {_rate('genesis_speculation_drafted_tokens_total')}",
            ),
        ),
    ),
    Figure(
        "CPU throttled",
        "percentunit",
        (
            Line(
                "periods",
                f"{_rate('genesis_cpu_throttled_periods_total')} / {_rate('genesis_cpu_periods_total')}",
            ),
        ),
        "Share of scheduler periods in which the kernel held the server back.",
    ),
    Figure(
        "Lengths, 95th percentile",
        "short",
        (
            _quantile("prompt", 0.95, "genesis_prompt_tokens"),
            _quantile("answer", 0.95, "genesis_completion_tokens"),
        ),
        "Tokens.",
    ),
)
"""What is plotted of each model."""

SECURITY: Final = (
    Figure(
        "Failed authentication",
        "reqps",
        (Line("{{model}} {{scheme}}", _rate("genesis_auth_failures_total", "model, scheme")),),
    ),
    Figure(
        "Rate limited",
        "reqps",
        (Line("{{client}}: {{limit}}", _rate("genesis_rate_limited_total", "client, limit")),),
    ),
    Figure(
        "Prompts by the guard's verdict",
        "reqps",
        (Line("{{verdict}}", _rate("genesis_guard_verdicts_total", "verdict")),),
    ),
    Figure(
        "Tokens by client",
        "short",
        (Line("{{client}} {{kind}}", _rate("genesis_client_tokens_total", "client, kind")),),
        "Per second.",
    ),
)
"""Who calls, and who should not."""

HOST: Final = (
    Figure("Restarts in an hour", "short", (Line("{{model}}", "increase(genesis_host_restarts_total[1h])"),)),
    Figure(
        "Drifted", "short", (Line("{{model}}", "genesis_host_drift"),), "1 where the host left the stack."
    ),
    Figure(
        "Model file intact",
        "short",
        (Line("{{model}}", "genesis_host_model_file_intact"),),
        "0 where a file is not what the stack declares.",
    ),
    Figure(
        "Disk free",
        "percentunit",
        (Line("{{instance}}", "genesis_host_disk_free_bytes / genesis_host_disk_size_bytes"),),
    ),
)
"""What the host exporter sees."""

NOW: Final = (
    Figure("Models ready", "short", (Line("ready", "sum(genesis_ready{SELECTOR})"),)),
    Figure("Targets down", "short", (Line("down", "count(up{SELECTOR} == 0) or vector(0)"),)),
    Figure(
        "Alerts firing",
        "short",
        (
            Line(
                "firing",
                'count(ALERTS{alertstate="firing",alertname!="Watchdog"}) or vector(0)',
            ),
        ),
    ),
    Figure(
        "Requests", "reqps", (Line("requests", "sum(rate(genesis_http_requests_total{SELECTOR}[WINDOW]))"),)
    ),
    Figure(
        "Server errors",
        "percentunit",
        (
            Line(
                "5xx",
                '(sum(rate(genesis_http_requests_total{SELECTOR,status=~"5.."}[WINDOW])) or vector(0))'
                " / sum(rate(genesis_http_requests_total{SELECTOR}[WINDOW]))",
            ),
        ),
    ),
    Figure(
        "Tokens per second",
        "short",
        (Line("generated", "sum(rate(llamacpp:tokens_predicted_total{SELECTOR}[WINDOW]))"),),
    ),
    Figure("Generation", "short", (Line("generation", "max(genesis_host_generation)"),)),
    Figure("Last apply failed", "short", (Line("failed", "max(genesis_host_last_apply_failed)"),)),
)
"""Single numbers of this moment."""
