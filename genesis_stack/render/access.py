"""The declared clients as the servers read them, and the secrets that a server needs."""

from __future__ import annotations

from pathlib import PurePosixPath

from genesis_stack.layout import Layout
from genesis_stack.protocol.access import CLIENTS_FILE, KEYS_FILE, ONLY_SLOT, ClientPolicy, Clients, KeySlot
from genesis_stack.render.files import RenderedFile
from genesis_stack.spec.clients import Client
from genesis_stack.spec.model import Stack


def access_directory(layout: Layout) -> PurePosixPath:
    """Where the servers read who may call."""
    return PurePosixPath(layout.config) / "access"


def clients_path(layout: Layout) -> PurePosixPath:
    """Where the declared clients stand."""
    return access_directory(layout) / CLIENTS_FILE


def keys_path(layout: Layout) -> PurePosixPath:
    """Where the issued keys stand, which no stack renders."""
    return access_directory(layout) / KEYS_FILE


def clients_file(stack: Stack, layout: Layout, *, owner: str) -> tuple[RenderedFile, ...]:
    """`clients.json`; no file when the stack declares no client."""
    if not stack.clients:
        return ()
    content = clients(stack).model_dump_json(indent=2) + "\n"
    return (RenderedFile(clients_path(layout), content, 0o644, owner),)


def clients(stack: Stack) -> Clients:
    """The declared clients with every value written out."""
    return Clients(clients={name: _policy(client) for name, client in stack.clients.items()})


def secrets_of(stack: Stack, model: str) -> tuple[str, ...]:
    """Names of the secrets that the server of `model` needs.

    Those are its certificate, its callers' signing keys, and what its trace collector wants to see.
    """
    tls = stack.http.tls
    certificate = () if tls is None else (tls.certificate_secret, tls.key_secret)
    headers = stack.monitoring.tracing.headers_secret
    collector = () if headers is None else (headers,)
    signing = (
        slot.secret
        for client in stack.clients.values()
        if model in client.models
        for slot in client.keys.values()
        if slot.secret is not None
    )
    return tuple(dict.fromkeys((*certificate, *collector, *signing)))


def _policy(client: Client) -> ClientPolicy:
    slots = {
        name: KeySlot(expires=slot.expires, secret=slot.secret) for name, slot in client.keys.items()
    } or {ONLY_SLOT: KeySlot(expires=None, secret=None)}
    return ClientPolicy(
        models=client.models,
        requests_per_minute=client.requests_per_minute,
        tokens_per_minute=client.tokens_per_minute,
        concurrent=client.concurrent,
        require_signature=client.require_signature,
        guard=client.guard,
        slots=slots,
    )
