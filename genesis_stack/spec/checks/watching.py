"""Checks of monitoring and alerts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from genesis_stack.spec.alerts import ABOUT_HOST, BUILT_IN, Alert
from genesis_stack.spec.checks.expression import flaws
from genesis_stack.spec.checks.finding import Declared, Finding, unknown, unknowns
from genesis_stack.spec.effective import models_on, resolve
from genesis_stack.spec.model import Stack
from genesis_stack.spec.monitoring import Alertmanager, Prometheus, Receiver, Tracing
from genesis_stack.spec.problems import Path, did_you_mean
from genesis_stack.spec.security import Security


def check_monitoring(stack: Stack, declared: Declared) -> Iterator[Finding]:
    """Whether the parts that watch can reach each other and someone who is told."""
    monitoring = stack.monitoring
    if monitoring.prometheus is not None:
        yield from _prometheus(monitoring.prometheus)
    if monitoring.alertmanager is not None:
        notified = stack.gitops.notify if stack.gitops is not None else None
        yield from _alertmanager(monitoring.alertmanager, declared, notified)
        if monitoring.prometheus is None:
            yield Finding(
                ("monitoring", "alertmanager"),
                "nothing sends it alerts",
                "declare monitoring.prometheus",
                at_key=True,
            )
    yield from _tracing(monitoring.tracing, _sandboxes(stack))


def _sandboxes(stack: Stack) -> list[Security]:
    """That of every server, on each host that it runs on."""
    resolved = resolve(stack)
    placed = [models_on(resolved, host) for host in stack.hosts] or [resolved.models]
    return [model.security for models in placed for model in models.values() if model.security is not None]


def _prometheus(prometheus: Prometheus) -> Iterator[Finding]:
    path: Path = ("monitoring", "prometheus")
    yield from _open(path, prometheus)
    if prometheus.mode == "external":
        for key in ("rules_dir", "scrape_dir"):
            if getattr(prometheus, key) is None:
                yield Finding(
                    (*path, "mode"), f"an external prometheus needs {key}", "name the directory it reads"
                )


def _open(path: Path, one: Prometheus | Alertmanager) -> Iterator[Finding]:
    """Neither asks for a key: whoever reaches one reads every figure, or silences every alert."""
    if one.mode == "managed" and not ip_address(one.listen).is_loopback:
        yield Finding(
            (*path, "listen"),
            f"{one.listen} is open to other machines, and it asks nobody for a key",
            f"listen on 127.0.0.1, and look from elsewhere through ssh -L {one.port}:127.0.0.1:{one.port}",
        )


def _alertmanager(alertmanager: Alertmanager, declared: Declared, notified: str | None) -> Iterator[Finding]:
    path: Path = ("monitoring", "alertmanager")
    yield from _open(path, alertmanager)
    if alertmanager.mode == "external" and alertmanager.url is None:
        yield Finding((*path, "mode"), "an external alertmanager needs url", "say where it listens")
    if alertmanager.mode == "managed" and not declared.receivers:
        yield Finding(path, "has nobody to tell", "declare a receiver under receivers", at_key=True)
    for name, receiver in alertmanager.receivers.items():
        yield from _receiver((*path, "receivers", name), receiver)
    for key in ("default_receiver", "watchdog_receiver"):
        yield from unknown("receiver", (*path, key), getattr(alertmanager, key), declared.receivers)
    if alertmanager.mode == "managed":
        yield from _unreadable(path, alertmanager, notified)
    for index, route in enumerate(alertmanager.routes):
        place = (*path, "routes", index)
        yield from unknown("receiver", (*place, "receiver"), route.receiver, declared.receivers)
        yield from unknowns("model", (*place, "models"), route.models, declared.models)
        yield from unknowns("alert", (*place, "alerts"), route.alerts, declared.alerts | set(BUILT_IN))


def _receiver(path: Path, receiver: Receiver) -> Iterator[Finding]:
    ways = (receiver.webhook, receiver.email, receiver.slack, receiver.pagerduty)
    if all(way is None for way in ways):
        yield Finding(path, "tells nobody", "give it a webhook, email, slack or pagerduty", at_key=True)
    if receiver.webhook is not None and (receiver.webhook.url is None) == (
        receiver.webhook.url_secret is None
    ):
        yield Finding((*path, "webhook"), "needs one of url and url_secret", "give it one", at_key=True)


def _unreadable(path: Path, alertmanager: Alertmanager, notified: str | None) -> Iterator[Finding]:
    """Secrets that Alertmanager 0.25 could only be given inside of its configuration, for all to read."""
    told = (alertmanager.default_receiver, alertmanager.watchdog_receiver, notified)
    routed = {route.receiver for route in alertmanager.routes}
    for index, (name, receiver) in enumerate(alertmanager.receivers.items()):
        first = index == 0 and alertmanager.default_receiver is None
        if (name in told or name in routed or first) and receiver.webhook and receiver.webhook.url_secret:
            yield Finding(
                (*path, "receivers", name, "webhook", "url_secret"),
                "Alertmanager 0.25 reads no webhook's URL from a file",
                "use url, and token_secret for what must stay secret",
            )


def _tracing(tracing: Tracing, sandboxes: Sequence[Security]) -> Iterator[Finding]:
    """Whether the servers' sandboxes let spans out to where they shall go."""
    path: Path = ("monitoring", "tracing")
    if tracing.exporter != "otlp":
        return
    if tracing.endpoint is None:
        yield Finding((*path, "exporter"), "otlp needs an endpoint", "set endpoint to the collector's URL")
    if any(sandbox.profile == "strict" for sandbox in sandboxes):
        yield Finding(
            (*path, "exporter"),
            "the strict sandbox has no network to send spans over",
            "export to file or stdout, or set security.profile: standard",
        )
    elif tracing.endpoint and not _is_here(tracing.endpoint) and not all(map(_reaches_out, sandboxes)):
        yield Finding(
            (*path, "endpoint"),
            "the standard sandbox reaches this machine alone",
            "run a collector here, or let its address through with security.directives.IPAddressAllow",
        )


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reaches_out(sandbox: Security) -> bool:
    """Whether the stack itself says which addresses may be talked to."""
    return not sandbox.directives.keys().isdisjoint({"IPAddressAllow", "IPAddressDeny"})


def check_alerts(stack: Stack, declared: Declared) -> Iterator[Finding]:
    """Whether each entry tunes an alert that exists or adds a complete one."""
    for name, alert in stack.alerts.items():
        path: Path = ("alerts", name)
        if name in BUILT_IN:
            yield from _tuned(path, alert, BUILT_IN[name])
        elif alert.expr is None:
            yield Finding(
                path,
                "is no built-in alert, and has no expr of its own",
                did_you_mean(name, BUILT_IN),
                at_key=True,
            )
        else:
            yield from (Finding((*path, "expr"), what, hint) for what, hint in flaws(alert.expr))
        yield from unknowns("model", (*path, "models"), alert.models, declared.models)
        if alert.models and name in ABOUT_HOST:
            yield Finding(
                (*path, "models"),
                "this alert is about the host, and no model",
                "remove it, or set enabled: false to silence the alert",
                at_key=True,
            )


def _tuned(path: Path, alert: Alert, unit: str | None) -> Iterator[Finding]:
    if alert.expr is not None:
        yield Finding(
            (*path, "expr"), "is built in, with an expression of its own", "add yours under another name"
        )
    if alert.threshold is None:
        return
    if unit is None:
        yield Finding((*path, "threshold"), "this alert has no threshold", "remove it")
    elif alert.threshold.unit not in {unit, "number"}:
        wanted = {"seconds": "a duration such as 10s", "fraction": "a share such as 1%", "number": "a number"}
        what, hint = f"must be {wanted[unit]} for this alert", "the alert compares it in that unit"
        yield Finding((*path, "threshold"), what, hint)
