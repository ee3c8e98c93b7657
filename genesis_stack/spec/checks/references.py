"""Checks of names that refer to other parts of the stack."""

from __future__ import annotations

from collections.abc import Iterator

from genesis_stack.spec.checks.finding import Declared, Finding, unknown, unknowns
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import Path


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
            if host.models is not None and model in declared.models and model not in host.models:
                hint = "add it to models, or remove this"
                yield Finding(path, "does not run on this host", hint, at_key=True)
    for model in stack.cost.cloud if stack.cost is not None else ():
        yield from unknown("model", ("cost", "cloud", model), model, declared.models, at_key=True)
    yield from _gitops(stack, declared)
    yield from _machines(stack)


def _gitops(stack: Stack, declared: Declared) -> Iterator[Finding]:
    if stack.gitops is None:
        return
    yield from unknown("receiver", ("gitops", "notify"), stack.gitops.notify, declared.receivers)
    for key in ("webhook", "commit_status"):
        told = getattr(stack.gitops, key)
        if told is not None and (told.url is None) == (told.url_secret is None):
            yield Finding(("gitops", key), "needs one of url and url_secret", "give it one", at_key=True)
    if (canary := stack.gitops.canary) is not None:
        yield from unknown("host", ("gitops", "canary", "host"), canary.host, declared.hosts)
        yield from unknown("load profile", ("gitops", "canary", "profile"), canary.profile, declared.profiles)


def _machines(stack: Stack) -> Iterator[Finding]:
    """Whether no two entries recognise the same machine."""
    seen: dict[str, str] = {}
    for name, host in stack.hosts.items():
        path: Path = ("hosts", name)
        sign, what = host.machine_id or (host.hostname or name).lower(), "the host name"
        if host.machine_id is not None:
            path, what = (*path, "machine_id"), "that"
        elif host.hostname is not None:
            path = (*path, "hostname")
        if sign in seen:
            yield Finding(path, f"is also {what} of hosts.{seen[sign]}", "each machine once")
        seen.setdefault(sign, name)
