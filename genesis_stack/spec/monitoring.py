"""What watches the models: Prometheus, Alertmanager with its receivers, tracing and logs."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from genesis_stack.spec.fields import (
    AbsolutePath,
    Address,
    AlertName,
    Frozen,
    Line,
    Many,
    Name,
    Pattern,
    Port,
    SecretName,
    Url,
)
from genesis_stack.spec.units import ByteSize, Duration, Fraction

EXPORTER_MEMORY: Final = 192 * 1024**2
"""Bytes that the exporter of the host's state may take."""

Severity = Literal["page", "ticket", "info"]
Email = Annotated[str, Pattern(r"^[^\s@,;<>\u0000-\u001f\u007f]+@[A-Za-z0-9.-]+$", "an e-mail address")]
HostPort = Annotated[str, Pattern(r"^[A-Za-z0-9.-]+:[0-9]{1,5}$", "host:port")]


class Prometheus(Frozen):
    """Where metrics are kept and rules are evaluated."""

    mode: Literal["managed", "external"] = Field(
        default="managed",
        description="managed runs Debian's prometheus as a hardened unit of the stack; external writes "
        "scrape and rule files for one that runs already.",
    )
    listen: Address = Field(
        default="127.0.0.1", description="Loopback address of the managed server, which asks for no key."
    )
    port: Port = Field(default=9090, description="Port of the managed server.")
    scrape_interval: Duration = Field(default=15.0, ge=1, description="How often the models are scraped.")
    retention: Duration = Field(default=15 * 86_400.0, gt=0, description="How long samples are kept.")
    rules_dir: AbsolutePath | None = Field(default=None, description="external: where it reads rules.")
    scrape_dir: AbsolutePath | None = Field(default=None, description="external: where it reads targets.")
    reload_url: Url | None = Field(default=None, description="external: what to POST to when files changed.")
    memory: ByteSize = Field(default=512 * 1024**2, gt=0, description="Most memory of the managed server.")
    exporter_port: Port = Field(
        default=9180,
        description="Loopback port of the exporter that tells of the host: drift, restarts, disk.",
    )


class Webhook(Frozen):
    """An HTTP endpoint that takes Alertmanager's JSON."""

    url: Url | None = Field(default=None, description="The URL, if it holds no secret.")
    url_secret: SecretName | None = Field(
        default=None,
        description="Name of the secret that holds the URL; Alertmanager before 0.26 cannot read one.",
    )
    token_secret: SecretName | None = Field(
        default=None, description="Name of the secret that is sent as a bearer token."
    )


class EmailTarget(Frozen):
    """A mailbox, and the server that delivers to it."""

    to: Email = Field(description="Who is told.")
    from_: Email = Field(alias="from", description="Sender.")
    smarthost: HostPort = Field(description="SMTP server as host:port.")
    username: Line | None = Field(default=None, description="Login at the SMTP server.")
    password_secret: SecretName | None = Field(default=None, description="Name of the password's secret.")


class Slack(Frozen):
    """A Slack channel."""

    url_secret: SecretName = Field(description="Name of the secret that holds the incoming webhook's URL.")
    channel: Line | None = Field(default=None, description="Channel, if not the webhook's own.")


class Pagerduty(Frozen):
    """A PagerDuty service."""

    routing_key_secret: SecretName = Field(description="Name of the Events API v2 routing key's secret.")


class Receiver(Frozen):
    """Who is told: one or more of webhook, email, slack and pagerduty."""

    webhook: Webhook | None = Field(default=None, description="Tell an HTTP endpoint.")
    email: EmailTarget | None = Field(default=None, description="Tell a mailbox.")
    slack: Slack | None = Field(default=None, description="Tell a Slack channel.")
    pagerduty: Pagerduty | None = Field(default=None, description="Tell a PagerDuty service.")
    send_resolved: bool = Field(default=True, description="Tell also when it is over.")


class Route(Frozen):
    """Which alerts go to a receiver; what is left out matches everything."""

    receiver: Name = Field(description="One of alertmanager.receivers.")
    severities: Many[Severity] = Field(default=(), description="Only alerts of these severities.")
    models: Many[Name] = Field(default=(), description="Only alerts about these models.")
    alerts: Many[AlertName] = Field(default=(), description="Only these alerts.")
    continue_: bool = Field(default=False, alias="continue", description="Try the next routes as well.")


class Alertmanager(Frozen):
    """Groups alerts and tells receivers."""

    mode: Literal["managed", "external"] = Field(
        default="managed",
        description="managed runs Debian's prometheus-alertmanager as a hardened unit of the stack; external "
        "sends to one that runs already.",
    )
    listen: Address = Field(
        default="127.0.0.1", description="Loopback address of the managed server, which asks for no key."
    )
    port: Port = Field(default=9093, description="Port of the managed server.")
    url: Url | None = Field(default=None, description="external: where it listens.")
    memory: ByteSize = Field(default=128 * 1024**2, gt=0, description="Most memory of the managed server.")
    receivers: dict[Name, Receiver] = Field(default_factory=dict, description="Who can be told, by name.")
    default_receiver: Name | None = Field(
        default=None, description="Who is told what no route matches; absent: the first receiver."
    )
    watchdog_receiver: Name | None = Field(
        default=None, description="Who gets the alert that always fires, and notices when it stops."
    )
    routes: Many[Route] = Field(default=(), description="Tried in order; the first that matches decides.")
    group_wait: Duration = Field(default=30.0, description="How long to collect a group before telling.")
    group_interval: Duration = Field(default=300.0, gt=0, description="Time between news of one group.")
    repeat_interval: Duration = Field(default=4 * 3600.0, gt=0, description="Time until a reminder.")


class Tracing(Frozen):
    """OpenTelemetry spans of requests; off by default."""

    exporter: Literal["off", "otlp", "file", "stdout"] = Field(
        default="off",
        description="Where spans go; the strict sandbox has no network, so it takes file or stdout.",
    )
    endpoint: Url | None = Field(default=None, description="otlp: the collector's HTTP URL.")
    headers_secret: SecretName | None = Field(
        default=None, description="otlp: name of the secret that holds further HTTP headers."
    )
    sample: Fraction = Field(default=1.0, description="Share of requests that are traced.")
    content: bool = Field(default=False, description="Put prompts and answers into spans.")


class Logs(Frozen):
    """What is written about requests, and what never is."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe line."
    )
    content: bool = Field(default=False, description="Log prompts and answers.")
    audit: Literal["journal", "file", "off"] = Field(
        default="journal", description="Where the hash-chained record of who did what goes."
    )


class Monitoring(Frozen):
    """What watches the models; absent parts are not set up."""

    prometheus: Prometheus | None = Field(default=None, description="Metrics and rules.")
    alertmanager: Alertmanager | None = Field(default=None, description="Groups alerts and tells receivers.")
    tracing: Tracing = Field(default=Tracing(), description="OpenTelemetry spans.")
    logs: Logs = Field(default=Logs(), description="Logs and audit record.")
