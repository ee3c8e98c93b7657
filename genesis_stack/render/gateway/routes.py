"""Who answers for a model: its replicas on all hosts, as seen from the host of a gateway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from genesis_stack.spec.addresses import authority, from_here, is_everywhere
from genesis_stack.spec.effective import PlacedGateway, gateway_on, name_of
from genesis_stack.spec.model import Model, Stack

THIS_HOST: Final = "this-host"
"""The name of the only host of a stack that names none."""
AHEAD: Final = 2
"""Requests that a replica is given for each that it decodes: while one ends, the next is there already."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One server of a model; `most` requests are sent to it at once. `remote` is one of another host."""

    host: str
    address: str
    port: int
    most: int
    remote: bool

    @property
    def target(self) -> str:
        """Address and port as HAProxy writes them."""
        return authority(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Route:
    """One model behind the gateway: the names that it is asked for by, and who answers.

    `queue` requests may wait for a replica, each for `timeout` seconds; `body` is the largest one in bytes.
    """

    model: str
    description: str
    names: tuple[str, ...]
    replicas: tuple[Replica, ...]
    queue: int
    timeout: float
    body: int


def routes(stack: Stack) -> Iterator[Route]:
    """The models in the order of the stack; one that runs nowhere has no route."""
    gateway = gateway_on(stack, None)
    if gateway is None:
        return
    names = dict.fromkeys(name for models in gateway.models.values() for name in models)
    for name in names:
        yield _route(stack, gateway, name)


def _route(stack: Stack, gateway: PlacedGateway, name: str) -> Route:
    served = {host: models[name] for host, models in gateway.models.items() if name in models}
    models = list(served.values())
    adapters = dict.fromkeys(f"{name}:{adapter}" for model in models for adapter in model.adapters)
    return Route(
        model=name,
        description=models[0].description,
        names=(name, *adapters),
        replicas=tuple(_replica(stack, gateway, host, model) for host, model in served.items()),
        queue=sum(model.engine.queue_requests for model in models),
        timeout=max(model.limits.request_timeout for model in models),
        body=max(model.limits.max_body for model in models),
    )


def _replica(stack: Stack, gateway: PlacedGateway, host: str | None, model: Model) -> Replica:
    engine = model.engine
    most = min(engine.parallel * AHEAD, engine.parallel + engine.queue_requests)
    listen = model.listen or stack.defaults.listen
    if host is None or host == gateway.here:
        return Replica(host or THIS_HOST, from_here(listen), model.port, most, remote=False)
    address = name_of(stack, host) if is_everywhere(listen) else listen
    return Replica(host, address, model.port, most, remote=True)
