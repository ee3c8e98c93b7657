"""The alerting rules of a stack: the built-in ones as tuned, and those that it adds.

See "Alerting rules" in Prometheus's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from genesis_stack.render.monitoring.budget import BURNING
from genesis_stack.render.monitoring.calling import CALLING
from genesis_stack.render.monitoring.following import FOLLOWING
from genesis_stack.render.monitoring.fronting import FRONTING
from genesis_stack.render.monitoring.hosting import HOSTING
from genesis_stack.render.monitoring.rule import Alarm, Body, Rule, Watched, span
from genesis_stack.render.monitoring.serving import SERVING
from genesis_stack.spec.alerts import BUILT_IN, Alert
from genesis_stack.spec.model import Stack

RUNBOOKS: Final = "docs/runbooks"
"""Where the pages about the built-in alerts are, in the repository."""
MODEL: Final = "$model"
"""What stands for a model's name in an added alert's expression."""
_UNTUNED: Final = Alert()


def all_rules(stack: Stack, step: float) -> tuple[Rule, ...]:
    """Every rule, those of one model together; `step` is the scrape interval in seconds."""
    return (
        *(
            rule
            for name in stack.models
            for rule in _about(Watched(stack, name, step), (*SERVING, *CALLING, *BURNING))
        ),
        *_about(Watched(stack, "", step), FRONTING),
        *_about(Watched(stack, "", step), (*HOSTING, *FOLLOWING)),
        *added_rules(stack),
    )


def _about(on: Watched, alarms: tuple[Alarm, ...]) -> Iterator[Rule]:
    for alarm in alarms:
        entry = on.stack.alerts.get(alarm.name, _UNTUNED)
        if not entry.enabled or (entry.models and on.name not in entry.models):
            continue
        limit = alarm.limit(on) if entry.threshold is None else entry.threshold.value
        if limit is None:
            continue
        yield Rule(
            alert=alarm.name,
            model=on.name,
            # Of the two speeds of a budget's burn each keeps its own urgency and patience.
            severity=entry.severity if entry.severity and alarm not in BURNING else alarm.severity,
            hold=entry.for_ if entry.for_ is not None and alarm not in BURNING else alarm.hold,
            runbook=entry.runbook or f"{RUNBOOKS}/{alarm.name}.md",
            body=alarm.build(on, limit),
        )


def added_rules(stack: Stack) -> Iterator[Rule]:
    """The alerts that the stack adds; with `models`, one for each of them."""
    for name, entry in stack.alerts.items():
        if name in BUILT_IN or entry.expr is None or not entry.enabled:
            continue
        for model in entry.models or ("",):
            expr = entry.expr.replace(MODEL, model) if model else entry.expr
            summary = entry.summary or f"{name}{f' of {model}' if model else ''}"
            body = Body(expr.strip(), summary, "Added in stack.yaml.", {}, ())
            yield Rule(name, model, entry.severity or "ticket", entry.for_ or 0.0, entry.runbook or "", body)


def rules_document(rules: tuple[Rule, ...]) -> dict[str, Any]:
    """The content of a rule file: one group a model, one for the host and what the stack adds."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for rule in rules:
        groups.setdefault(f"genesis-{rule.model}" if rule.model else "genesis.host", []).append(_rule(rule))
    return {"groups": [{"name": name, "rules": entries} for name, entries in groups.items()]}


def _rule(rule: Rule) -> dict[str, Any]:
    hold = {"for": span(rule.hold)} if rule.hold else {}
    return {
        "alert": rule.alert,
        "expr": rule.body.expr,
        **hold,
        "labels": rule.labels,
        "annotations": told(rule),
    }


def told(rule: Rule) -> dict[str, str]:
    """What a receiver can show; the runbook is a page of the repository, or the stack's own."""
    page = {"runbook": rule.runbook} if rule.runbook else {}
    return {"summary": rule.body.summary, "description": rule.body.description, **page}
