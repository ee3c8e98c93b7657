"""Tests of the rules for `promtool test rules`: each built-in one fires once and stays silent otherwise.

They are committed beside the rules and not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any, Final

from genesis_stack.render.monitoring.rule import (
    NUMBER,
    SCRAPES,
    SECONDS,
    SHARE,
    Rule,
    Series,
    number,
    span,
)
from genesis_stack.render.monitoring.rules import told

SCRAPES_PER_LOOK: Final = 4
"""Scrapes between two evaluations in the tests: as good as one each, in a quarter of the time."""


def cases_document(rules: tuple[Rule, ...], rule_file: str, step: float) -> dict[str, Any]:
    """The content of a test file beside `rule_file`; added rules have none."""
    return {
        "rule_files": [rule_file],
        "evaluation_interval": span(step * SCRAPES_PER_LOOK),
        "tests": [case for rule in rules for case in _cases(rule, step)],
    }


def _cases(rule: Rule, step: float) -> Iterator[dict[str, Any]]:
    about = f"{rule.alert} ({rule.severity}){f' of {rule.model}' if rule.model else ''}"
    if rule.body.fires or rule.body.expr == "vector(1)":
        yield _case(f"{about} fires", rule, rule.body.fires, step, [_expected(rule)])
    for index, series in enumerate(rule.body.silent, start=1):
        yield _case(f"{about} stays silent, {index}", rule, series, step, [])


def _case(
    name: str, rule: Rule, series: Series, step: float, expected: list[dict[str, Any]]
) -> dict[str, Any]:
    looks = ceil((rule.hold / step + SCRAPES) / SCRAPES_PER_LOOK) + 2
    steps = looks * SCRAPES_PER_LOOK
    return {
        "name": name,
        "interval": span(step),
        "input_series": [
            {"series": text, "values": f"{number(start)}+{number(add)}x{steps}"}
            for text, (start, add) in series.items()
        ],
        "alert_rule_test": [
            {"eval_time": span(steps * step), "alertname": rule.alert, "exp_alerts": expected}
        ],
    }


def _expected(rule: Rule) -> dict[str, Any]:
    texts = {key: _shown(rule, text) for key, text in told(rule).items()}
    return {"exp_labels": {**rule.body.labels, **rule.labels}, "exp_annotations": texts}


def _shown(rule: Rule, text: str) -> str:
    """The text as Prometheus fills it in."""
    for place in (SECONDS, SHARE, NUMBER):
        text = text.replace(place, rule.body.shown)
    for name, value in rule.body.labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", value)
    return text
