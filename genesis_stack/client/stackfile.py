"""A client's settings from a stack file: its models, their addresses and digests, and what it may ask.

The only module of the client that knows stacks; everything else works without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genesis_stack.client.config import Endpoint, LocalLLMConfig
from genesis_stack.client.errors import ConfigurationError
from genesis_stack.errors import GenesisError
from genesis_stack.spec.addresses import authority, from_here, is_everywhere
from genesis_stack.spec.effective import gateway_on, hosts_of, name_of, on_host
from genesis_stack.spec.http import Gateway
from genesis_stack.spec.load import load
from genesis_stack.spec.model import Model, Stack


def config_from_stack(
    path: str | Path, client: str | None, settings: dict[str, Any], *, host: str | None = None
) -> LocalLLMConfig:
    """The settings that a stack implies, with `settings` on top; keys come from the environment.

    With the `host` that this machine is, its own servers alone are called, past the gateway.

    Raises:
        ConfigurationError: the stack is invalid, or does not declare the client.
    """
    try:
        stack = load(path)
    except GenesisError as error:
        raise ConfigurationError(str(error), remedy=error.hint) from None
    implied: dict[str, Any] = {}
    allowed = list(stack.models)
    if client is not None:
        if client not in stack.clients:
            known = ", ".join(stack.clients) or "none"
            remedy = "add it to the stack, or name one of them"
            raise ConfigurationError(
                f"{path} declares no client {client!r}; there are {known}", remedy=remedy
            )
        declared = stack.clients[client]
        allowed = [name for name in stack.models if name in declared.models]
        implied["requests_per_minute"] = declared.requests_per_minute
    implied["endpoints"] = _endpoints(stack, allowed, host)
    return LocalLLMConfig.build(**{**implied, **settings})


def _endpoints(stack: Stack, allowed: list[str], here: str | None) -> list[Endpoint]:
    """Every server of the allowed models: of this host, or of all, behind the gateway if there is one."""
    if stack.gateway is not None and here is None:
        urls = dict.fromkeys(_gateways(stack, stack.gateway))
        return [_endpoint(url, name, stack.models[name]) for name in allowed for url in urls]
    scheme = "https" if stack.http.tls else "http"
    found = []
    for host in hosts_of(stack) if here is None else [here]:
        part = on_host(stack, host)
        reached_by = name_of(stack, host) if host is not None and here is None else None
        for name in allowed:
            if name in part.models:
                model = part.models[name]
                address = model.listen or stack.defaults.listen
                url = _url(scheme, address, model.port, reached_by)
                found.append(_endpoint(url, name, model))
    return found


def _gateways(stack: Stack, gateway: Gateway) -> Iterator[str]:
    scheme = "https" if gateway.tls else "http"
    for host in hosts_of(stack):
        if gateway_on(stack, host) is not None:
            name = None if host is None else name_of(stack, host)
            yield _url(scheme, gateway.listen, gateway.port, name)


def _endpoint(url: str, name: str, model: Model) -> Endpoint:
    return Endpoint(url=url, model=name, task=model.task, tags=model.tags, sha256=model.weights.sha256)


def _url(scheme: str, address: str, port: int, name: str | None) -> str:
    """Where to connect: the address that is listened on, or its host's name if that is every address."""
    host = name if name is not None and is_everywhere(address) else from_here(address)
    return f"{scheme}://{authority(host, port)}"
