"""The configuration of the stack's own Alertmanager: who is told what, when, and what need not be told.

Written for Alertmanager 0.25; see its "Configuration" page. Secrets are files that it reads itself, so that
nothing here has to be kept secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from genesis_stack.render.monitoring.rule import span
from genesis_stack.spec.gitops import GitOps
from genesis_stack.spec.monitoring import Alertmanager, EmailTarget, Receiver, Route, Slack, Webhook

NOBODY: Final = "no-one"
"""The receiver of what nobody is to hear."""
WATCHDOG: Final = "Watchdog"
REVISION: Final = "Revision"
"""Name of the agent's notices, of which each is told once and none is ever over."""
NOTICES: Final = ".revisions"
"""Ends the name of the receiver that tells them; no receiver of a stack can have a dot in its name."""
WATCHDOG_EVERY: Final = 60.0
"""Most seconds between two signs of life to the watchdog's receiver."""
SecretFile = Callable[[str], str]
"""Name of a secret → the file that holds it."""

_TITLE: Final = (
    "[{{ .Status | toUpper }}] {{ .CommonLabels.alertname }}{{ with .CommonLabels.model }} {{ . }}{{ end }}"
)
_TEXT: Final = (
    "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ .Annotations.description }}\n"
    "{{ with .Annotations.runbook }}{{ . }}\n{{ end }}{{ end }}"
)


def alertmanager_document(
    alertmanager: Alertmanager, secret: SecretFile, gitops: GitOps | None = None
) -> dict[str, Any]:
    """`alertmanager.yml`."""
    told = told_receivers(alertmanager)
    notified = gitops.notify if gitops is not None else None
    silent = [] if alertmanager.watchdog_receiver else [{"name": NOBODY}]
    return {
        "route": _routes(alertmanager, notified),
        "inhibit_rules": _inhibitions(),
        "receivers": [
            *(_receiver(name, alertmanager.receivers[name], secret) for name in told),
            *([_notices(notified, alertmanager.receivers[notified], secret)] if notified else []),
            *silent,
        ],
    }


def default_receiver(alertmanager: Alertmanager) -> str:
    """Who is told what no route matches."""
    return alertmanager.default_receiver or next(iter(alertmanager.receivers))


def told_receivers(alertmanager: Alertmanager) -> list[str]:
    """The receivers that something leads to."""
    named = [
        default_receiver(alertmanager),
        alertmanager.watchdog_receiver or "",
        *(route.receiver for route in alertmanager.routes),
    ]
    return [name for name in alertmanager.receivers if name in named]


def secrets_of(alertmanager: Alertmanager, gitops: GitOps | None = None) -> list[str]:
    """Names of the secrets that these receivers need."""
    found: list[str | None] = []
    notified = [gitops.notify] if gitops is not None and gitops.notify is not None else []
    for name in dict.fromkeys([*told_receivers(alertmanager), *notified]):
        receiver = alertmanager.receivers[name]
        found += [receiver.webhook.token_secret] if receiver.webhook else []
        found += [receiver.email.password_secret] if receiver.email else []
        found += [receiver.slack.url_secret] if receiver.slack else []
        found += [receiver.pagerduty.routing_key_secret] if receiver.pagerduty else []
    return sorted({name for name in found if name})


def _routes(alertmanager: Alertmanager, notified: str | None) -> dict[str, Any]:
    """A group is one alert about one model: a model in trouble is a handful of messages."""
    watchdog = {
        "receiver": alertmanager.watchdog_receiver or NOBODY,
        "matchers": [f'alertname="{WATCHDOG}"'],
        "group_wait": "0s",
        "group_interval": span(min(WATCHDOG_EVERY, alertmanager.group_interval)),
        "repeat_interval": span(min(WATCHDOG_EVERY, alertmanager.repeat_interval)),
    }
    revision = {
        "receiver": f"{notified}{NOTICES}",
        "matchers": [f'alertname="{REVISION}"'],
        "group_by": ["stack", "host", "revision", "outcome"],
        "group_wait": "0s",
    }
    return {
        "receiver": default_receiver(alertmanager),
        "group_by": ["stack", "alertname", "model"],
        "group_wait": span(alertmanager.group_wait),
        "group_interval": span(alertmanager.group_interval),
        "repeat_interval": span(alertmanager.repeat_interval),
        "routes": [
            watchdog,
            *([revision] if notified else []),
            *(_route(route) for route in alertmanager.routes),
        ],
    }


def _route(route: Route) -> dict[str, Any]:
    matchers = [
        f'{label}=~"{"|".join(values)}"'
        for label, values in (
            ("severity", route.severities),
            ("model", route.models),
            ("alertname", route.alerts),
        )
        if values
    ]
    going_on = {"continue": True} if route.continue_ else {}
    return {"receiver": route.receiver, **({"matchers": matchers} if matchers else {}), **going_on}


def _inhibitions() -> list[dict[str, Any]]:
    """Of a server that is down, not ready, or burning its budget fast, the rest goes without saying."""
    return [
        {
            "source_matchers": ['alertname="ServerDown"'],
            "target_matchers": ['alertname!="ServerDown"'],
            "equal": ["stack", "instance", "model"],
        },
        {
            "source_matchers": ['alertname="NotReady"'],
            "target_matchers": [
                'alertname=~"HighErrorRate|HighLatency|SlowFirstToken|LowThroughput|QueueSaturated"'
            ],
            "equal": ["stack", "instance", "model"],
        },
        {
            "source_matchers": ['alertname="ErrorBudgetBurn"', 'severity="page"'],
            "target_matchers": ['alertname="ErrorBudgetBurn"', 'severity="ticket"'],
            "equal": ["stack", "instance", "model"],
        },
    ]


def _receiver(name: str, receiver: Receiver, secret: SecretFile) -> dict[str, Any]:
    ways = dict(_ways(receiver, secret))
    for way in ways.values():
        way["send_resolved"] = receiver.send_resolved
    return {"name": name, **{f"{kind}_configs": [way] for kind, way in ways.items()}}


def _notices(name: str, receiver: Receiver, secret: SecretFile) -> dict[str, Any]:
    """The same receiver for the agent's notices: that a notice has ended is no news."""
    return _receiver(f"{name}{NOTICES}", receiver.model_copy(update={"send_resolved": False}), secret)


def _ways(receiver: Receiver, secret: SecretFile) -> Iterator[tuple[str, dict[str, Any]]]:
    if receiver.webhook is not None:
        yield "webhook", _webhook(receiver.webhook, secret)
    if receiver.email is not None:
        yield "email", _email(receiver.email, secret)
    if receiver.slack is not None:
        yield "slack", _slack(receiver.slack, secret)
    if receiver.pagerduty is not None:
        key = secret(receiver.pagerduty.routing_key_secret)
        yield "pagerduty", {"routing_key_file": key, "description": _TITLE}


def _webhook(webhook: Webhook, secret: SecretFile) -> dict[str, Any]:
    token = webhook.token_secret
    header = {"authorization": {"credentials_file": secret(token)}} if token else None
    return {"url": webhook.url, **({"http_config": header} if header else {})}


def _email(email: EmailTarget, secret: SecretFile) -> dict[str, Any]:
    login = {"auth_username": email.username} if email.username else {}
    password = {"auth_password_file": secret(email.password_secret)} if email.password_secret else {}
    return {"to": email.to, "from": email.from_, "smarthost": email.smarthost, **login, **password}


def _slack(slack: Slack, secret: SecretFile) -> dict[str, Any]:
    channel = {"channel": slack.channel} if slack.channel else {}
    return {"api_url_file": secret(slack.url_secret), **channel, "title": _TITLE, "text": _TEXT}
