"""Checks of names that refer to other parts of the stack."""

from __future__ import annotations

from collections.abc import Iterator

from genesis_stack.spec.checks.finding import Declared, Finding, unknown, unknowns
from genesis_stack.spec.model import Stack


def check_references(stack: Stack, declared: Declared) -> Iterator[Finding]:
    """Whether what is named is declared."""
    for name, client in stack.clients.items():
        yield from unknowns("model", ("clients", name, "models"), client.models, declared.models)
    for name, profile in stack.load.items():
        yield from unknowns("model", ("load", name, "models"), profile.models, declared.models)
        yield from unknown("client", ("load", name, "client"), profile.client, declared.clients)
    for name, host in stack.hosts.items():
        yield from unknowns("model", ("hosts", name, "models"), host.models or (), declared.models)
        for model in host.overrides:
            path = ("hosts", name, "overrides", model)
            yield from unknown("model", path, model, declared.models, at_key=True)
    for model in stack.cost.cloud if stack.cost is not None else ():
        yield from unknown("model", ("cost", "cloud", model), model, declared.models, at_key=True)
    yield from _gitops(stack, declared)
    yield from _machines(stack)


def _gitops(stack: Stack, declared: Declared) -> Iterator[Finding]:
    if stack.gitops is None:
        return
    yield from unknown("receiver", ("gitops", "notify"), stack.gitops.notify, declared.receivers)
    if (canary := stack.gitops.canary) is not None:
        yield from unknown("host", ("gitops", "canary", "host"), canary.host, declared.hosts)
        yield from unknown("load profile", ("gitops", "canary", "profile"), canary.profile, declared.profiles)


def _machines(stack: Stack) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name, host in stack.hosts.items():
        if host.machine_id is None:
            continue
        if host.machine_id in seen:
            yield Finding(
                ("hosts", name, "machine_id"),
                f"is also that of hosts.{seen[host.machine_id]}",
                "each machine once",
            )
        seen.setdefault(host.machine_id, name)
