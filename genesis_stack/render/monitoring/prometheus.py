"""The configuration of the stack's own Prometheus, and the files for one that runs already.

Written for Prometheus 2.42, which has no `scrape_config_files`; see its "Configuration" page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from genesis_stack.render.monitoring.rule import GATEWAY_JOB, HOST_JOB, JOB, span
from genesis_stack.spec.addresses import authority, from_here
from genesis_stack.spec.effective import gateway_on
from genesis_stack.spec.model import Stack
from genesis_stack.spec.monitoring import Alertmanager, Prometheus

TIMEOUT: Final = 10.0
"""Most seconds that one scrape may take: behind a server that is not there yet it waits in the backlog."""


def prometheus_document(stack: Stack, prometheus: Prometheus, rule_file: str) -> dict[str, Any]:
    """`prometheus.yml`, with its rules in `rule_file` beside it."""
    every = prometheus.scrape_interval
    alertmanager = stack.monitoring.alertmanager
    alerting = {"alerting": {"alertmanagers": [_alertmanager(alertmanager)]}} if alertmanager else {}
    return {
        "global": {
            "scrape_interval": span(every),
            "scrape_timeout": span(min(TIMEOUT, every)),
            "evaluation_interval": span(every),
            "external_labels": {"stack": stack.name},
        },
        "rule_files": [rule_file],
        **alerting,
        "scrape_configs": [
            {"job_name": JOB, **_scheme(stack), "static_configs": list(server_targets(stack))},
            {"job_name": HOST_JOB, "static_configs": [{"targets": [exporter_target(prometheus)]}]},
            *(
                {"job_name": GATEWAY_JOB, "static_configs": [{"targets": [target]}]}
                for target in gateway_targets(stack)
            ),
        ],
    }


def targets_document(stack: Stack, prometheus: Prometheus) -> list[dict[str, Any]]:
    """Targets with all their labels, for a `file_sd_configs` entry of another Prometheus."""
    scheme = {"__scheme__": "https"} if stack.http.tls else {}
    servers = [
        {"targets": one["targets"], "labels": {"job": JOB, "stack": stack.name, **scheme, **one["labels"]}}
        for one in server_targets(stack)
    ]
    host = {"job": HOST_JOB, "stack": stack.name}
    gateway = (
        {"targets": [target], "labels": {"job": GATEWAY_JOB, "stack": stack.name}}
        for target in gateway_targets(stack)
    )
    return [*servers, {"targets": [exporter_target(prometheus)], "labels": host}, *gateway]


def server_targets(stack: Stack) -> Iterator[dict[str, Any]]:
    """Each model's server under its name."""
    for name, model in stack.models.items():
        listen = model.listen or stack.defaults.listen
        yield {"targets": [authority(from_here(listen), model.port)], "labels": {"model": name}}


def exporter_target(prometheus: Prometheus) -> str:
    """Where the exporter of this host listens."""
    return authority("127.0.0.1", prometheus.exporter_port)


def gateway_targets(stack: Stack) -> Iterator[str]:
    """Where the gateway tells its metrics, on a host that runs it."""
    gateway = gateway_on(stack, None)
    if gateway is not None:
        yield authority("127.0.0.1", gateway.metrics_port)


def _scheme(stack: Stack) -> dict[str, Any]:
    """A certificate is made out to a name; on loopback there is nobody to mistake the server for."""
    return {"scheme": "https", "tls_config": {"insecure_skip_verify": True}} if stack.http.tls else {}


def _alertmanager(alertmanager: Alertmanager) -> dict[str, Any]:
    if alertmanager.mode == "managed" or alertmanager.url is None:
        return {"static_configs": [{"targets": [authority(alertmanager.listen, alertmanager.port)]}]}
    scheme, _, rest = alertmanager.url.partition("://")
    host, slash, path = rest.partition("/")
    port = "" if host.rpartition("]")[2].partition(":")[1] else {"http": ":80", "https": ":443"}[scheme]
    prefix = {"path_prefix": f"/{path.rstrip('/')}"} if slash and path.rstrip("/") else {}
    return {"scheme": scheme, **prefix, "static_configs": [{"targets": [host + port]}]}
