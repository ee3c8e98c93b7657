"""Checks of the gateway: where it runs, and whether it reaches what it stands in front of."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from genesis_stack.spec.checks.finding import Declared, Finding, unknowns
from genesis_stack.spec.effective import gateway_on, models_on
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import Path


def check_gateway(stack: Stack, declared: Declared) -> Iterator[Finding]:
    """Whether every host that runs it is declared, and every server of another host is open to it."""
    if stack.gateway is None:
        return
    yield from unknowns("host", ("gateway", "hosts"), stack.gateway.hosts or (), declared.hosts)
    placed = (gateway_on(stack, host) for host in stack.hosts)
    runs_on = [gateway.here for gateway in placed if gateway is not None]
    for host, entry in stack.hosts.items():
        callers = [name for name in runs_on if name != host]
        if callers and (models := _closed(stack, host)):
            path: Path = ("hosts", host) if entry.listen is None else ("hosts", host, "listen")
            yield Finding(
                path,
                f"the gateway on {callers[0]} cannot reach {models[0]} here: it listens on loopback",
                f"set hosts.{host}.listen to the address that other hosts reach it by",
            )
    if len(stack.hosts) > 1 and stack.http.tls is not None and stack.gateway.ca_secret is None:
        yield Finding(
            ("gateway",),
            "the servers of other hosts speak HTTPS, and nothing says whose certificates are theirs",
            "set gateway.ca_secret",
            at_key=True,
        )


def _closed(stack: Stack, host: str) -> list[str]:
    """The models of a host that only this host itself can call."""
    return [
        name
        for name, model in models_on(stack, host).items()
        if ipaddress.ip_address(model.listen or stack.defaults.listen).is_loopback
    ]
