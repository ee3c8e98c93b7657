"""An hour of what a healthy server exports, from some seconds of the real thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

STEP = 15
STEPS = 240
COUNTERS = ("_total", "_bucket", "_count", "_sum")


def healthy_hour(captured: Sequence[dict[str, Any]], rule_file: str) -> dict[str, Any]:
    """A promtool test: counters go on as they went, gauges stay, and no alert but the watchdog may fire."""
    silent = {"expr": 'ALERTS{alertname!="Watchdog",alertstate="firing"}', "exp_samples": []}
    return {
        "rule_files": [rule_file],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [_series(one) for one in captured],
                "promql_expr_test": [{**silent, "eval_time": f"{minute}m"} for minute in range(1, 61)],
            }
        ],
    }


def _series(one: dict[str, Any]) -> dict[str, str]:
    """One captured series: its name with labels, and an hour of values."""
    labels = dict(one["metric"])
    name = labels.pop("__name__")
    text = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    (begun, first), (ended, last) = one["values"][0], one["values"][-1]
    span = max(float(ended) - float(begun), 1.0)
    slope = (float(last) - float(first)) / span * STEP if name.endswith(COUNTERS) else 0.0
    # Where a series ends with +Inf or NaN, so it does here.
    return {"series": f"{name}{{{text}}}", "values": f"{float(last):.12g}+{max(slope, 0):.12g}x{STEPS}"}
