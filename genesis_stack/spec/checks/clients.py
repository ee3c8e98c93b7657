"""Checks of who may call."""

from __future__ import annotations

from collections.abc import Iterator

from genesis_stack.spec.checks.finding import Finding
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import Path


def check_clients(stack: Stack) -> Iterator[Finding]:
    """Whether each client can send what it must send, and no two sign with one secret."""
    owners: dict[str, str] = {}
    for name, client in stack.clients.items():
        path: Path = ("clients", name)
        if client.require_signature and all(key.secret is None for key in client.keys.values()):
            yield Finding(
                (*path, "require_signature"),
                "no key of this client can sign",
                "name the secret it signs with: keys: {main: {secret: NAME}}",
            )
        for key, declared in client.keys.items():
            place: Path = (*path, "keys", key)
            if declared.secret is None and client.require_signature:
                yield Finding(place, "this client must sign, and this key cannot", "add secret: NAME")
            if declared.secret is not None and declared.secret in owners:
                yield Finding(
                    (*place, "secret"),
                    f"is also that of {owners[declared.secret]}",
                    "each key signs with a secret of its own",
                )
            if declared.secret is not None:
                owners.setdefault(declared.secret, f"clients.{name}.keys.{key}")
