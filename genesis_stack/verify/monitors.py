"""What the stack's own Prometheus and Alertmanager say of themselves, held against what they should."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import yaml

from genesis_stack.backends.samples import totals
from genesis_stack.render.monitoring.alertmanager import alertmanager_document
from genesis_stack.render.monitoring.prometheus import exporter_target, server_targets
from genesis_stack.render.monitoring.rules import all_rules
from genesis_stack.spec.gitops import GitOps
from genesis_stack.spec.model import Stack
from genesis_stack.spec.monitoring import Alertmanager, Prometheus
from genesis_stack.verify.api import JSON, Answer, Request

LONGEST: Final = 4 * 1024**2
"""Bytes of an answer that are read: rules come with their texts."""
TEST_ALERT: Final = "GenesisVerify"
Tree = tuple[str, tuple[str, ...], tuple[Any, ...]]
"""A route: its receiver, its matchers, and the routes below it."""


def managed_prometheus(stack: Stack) -> Prometheus | None:
    """The stack's own, if it has one."""
    found = stack.monitoring.prometheus
    return found if found is not None and found.mode == "managed" else None


def managed_alertmanager(stack: Stack) -> Alertmanager | None:
    """The stack's own, if it has one; without a Prometheus there is none."""
    found = stack.monitoring.alertmanager
    return found if found is not None and found.mode == "managed" and stack.monitoring.prometheus else None


def requests_to_monitors(stack: Stack) -> dict[str, Request]:
    """What they are asked, by name."""
    found = {}
    if (prometheus := managed_prometheus(stack)) is not None:
        start = _get(prometheus.listen, prometheus.port)
        for name in ("targets", "rules", "alertmanagers"):
            found[name] = start(f"/api/v1/{name}")
    if (alertmanager := managed_alertmanager(stack)) is not None:
        found["status"] = _get(alertmanager.listen, alertmanager.port)("/api/v2/status")
    return found


def _get(listen: str, port: int) -> Any:
    def request(path: str) -> Request:
        return Request(listen, port, path, method="GET", shows="nothing", kept=LONGEST)

    return request


def alert_for_test(stack: Stack, alertmanager: Alertmanager) -> dict[str, Request]:
    """An alert that says that it is a test, and the counters of what was delivered."""
    labels = {"alertname": TEST_ALERT, "stack": stack.name, "severity": "info", "run": str(time.time_ns())}
    note = {"summary": "a test by genesis-stack verify: nothing is wrong"}
    start = _get(alertmanager.listen, alertmanager.port)
    alert = start("/api/v2/alerts")
    body = json.dumps([{"labels": labels, "annotations": note}])
    sent = Request(alert.address, alert.port, alert.path, body=body, headers=JSON, shows="nothing")
    return {"alert": sent, "delivered": start("/metrics")}


def expected_targets(stack: Stack, prometheus: Prometheus) -> set[str]:
    """Everything that must be scraped, as host:port."""
    servers = {target for one in server_targets(stack) for target in one["targets"]}
    return servers | {exporter_target(prometheus)}


def health_of_targets(answer: Answer) -> dict[str, str]:
    """What Prometheus says of each target: up, down or unknown."""
    active = answer.data.get("data", {}).get("activeTargets", [])
    return {one["discoveredLabels"]["__address__"]: one["health"] for one in active}


def all_scraped(expected: Collection[str]) -> Callable[[Answer], bool]:
    """Whether each of these targets was scraped, well or not."""

    def settled(answer: Answer) -> bool:
        health = health_of_targets(answer)
        return all(health.get(target, "unknown") != "unknown" for target in expected)

    return settled


def known_alertmanagers(answer: Answer) -> list[str]:
    """URLs of the Alertmanagers that Prometheus tells."""
    return [str(one["url"]) for one in answer.data.get("data", {}).get("activeAlertmanagers", [])]


def knows_one(answer: Answer) -> bool:
    """Whether it has found any."""
    return bool(known_alertmanagers(answer))


def expected_rules(stack: Stack, prometheus: Prometheus) -> set[str]:
    """Names of the alerts that must be loaded."""
    return {rule.alert for rule in all_rules(stack, prometheus.scrape_interval)}


def loaded_rules(answer: Answer) -> dict[str, str]:
    """Names of the alerts that are loaded, and whether they can be evaluated: ok, err or unknown."""
    groups = answer.data.get("data", {}).get("groups", [])
    return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}


def expected_routes(alertmanager: Alertmanager, gitops: GitOps | None) -> Tree:
    """Who is told what."""
    return _tree(alertmanager_document(alertmanager, str, gitops)["route"])


def loaded_routes(answer: Answer) -> Tree | None:
    """The routes that are in force; None where Alertmanager does not tell."""
    config = yaml.safe_load(answer.data.get("config", {}).get("original", "")) or {}
    return _tree(config["route"]) if "route" in config else None


def _tree(route: Mapping[str, Any]) -> Tree:
    below: Iterable[Mapping[str, Any]] = route.get("routes", ())
    matchers = tuple(sorted(_plain(one) for one in route.get("matchers", ())))
    return str(route.get("receiver", "")), matchers, tuple(_tree(one) for one in below)


def _plain(matcher: str) -> str:
    return matcher.replace(" ", "")


def counted(answer: Answer, name: str) -> float:
    """The sum of a counter, 0 where there is none."""
    return totals(answer.body).get(name, 0.0)
