"""The built-in alerts about the gateway, from HAProxy's own metrics; none for a host that runs no gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from genesis_stack.render.monitoring.rule import (
    GATEWAY_JOB,
    SHARE,
    Alarm,
    Body,
    Watched,
    number,
    selector,
    show_share,
)
from genesis_stack.spec.effective import gateway_on

INSTANCE: Final = "gateway.test"
"""What its target is called in tests."""
LONG: Final = 0.5
"""Share of the places in a model's queue from which on it counts as long."""


def _behind(limit: float) -> Callable[[Watched], float | None]:
    """A threshold where this host runs the gateway."""
    return lambda on: limit if gateway_on(on.stack, None) is not None else None


def _series(name: str, *labels: str) -> str:
    return selector(name, f'instance="{INSTANCE}"', f'job="{GATEWAY_JOB}"', *labels)


def _metric(name: str, *matchers: str) -> str:
    return selector(name, f'job="{GATEWAY_JOB}"', *matchers)


def _gateway_down(_: Watched, __: float) -> Body:
    up = _series("up")
    return Body(
        expr=f"max by (instance) ({_metric('up')}) == 0",
        summary="the gateway does not answer",
        description="Prometheus cannot read its metrics: whoever calls through it reaches no model.",
        fires={up: (0, 0)},
        silent=({up: (1, 0)},),
        labels={"instance": INSTANCE},
    )


def _server_down(_: Watched, __: float) -> Body:
    """Its second entry, behind which requests wait while no replica is ready, is never checked."""
    where = ('proxy=~"model[.].+"', 'server!~".+[.]waits"', 'state="UP"')
    status = _series("haproxy_server_status", 'proxy="model.a"', 'server="alpha"', 'state="UP"')
    return Body(
        expr=f"max by (instance, proxy, server) ({_metric('haproxy_server_status', *where)}) == 0",
        summary="{{ $labels.proxy }} on {{ $labels.server }} gets no requests",
        description="It fails the gateway's health checks: stopped, still loading, or cut off from it.",
        fires={status: (0, 0)},
        silent=({status: (1, 0)},),
        labels={"instance": INSTANCE, "proxy": "model.a", "server": "alpha"},
    )


def _queue_long(on: Watched, limit: float) -> Body:
    """The queue of a model counts for what its servers would let wait, all together."""
    from genesis_stack.render.gateway.routes import routes

    places = {f"model.{route.model}": route.queue for route in routes(on.stack)}
    metric = "haproxy_backend_current_queue"
    selectors = {_metric(metric, f'proxy="{proxy}"'): queue for proxy, queue in places.items()}
    parts = (
        f"max by (instance, proxy) ({one}) / {queue} > {number(limit)}" for one, queue in selectors.items()
    )
    first, queue = next(iter(places.items()))
    waiting = _series(metric, f'proxy="{first}"')
    return Body(
        expr=" or ".join(parts),
        summary="many requests wait for {{ $labels.proxy }}",
        description=f"{SHARE} of the places in its queue are taken; when all are, requests are refused.",
        fires={waiting: (queue, 0)},
        silent=({waiting: (queue * limit / 2, 0)},),
        shown=show_share(1.0),
        labels={"instance": INSTANCE, "proxy": first},
    )


FRONTING: Final = (
    Alarm("GatewayDown", "page", 60, _behind(0), _gateway_down),
    Alarm("GatewayServerDown", "ticket", 120, _behind(0), _server_down),
    Alarm("GatewayQueueLong", "ticket", 120, _behind(LONG), _queue_long),
)
