"""The configuration of the gateway's HAProxy, from the routes of a stack.

Everything that a client sees of it has OpenAI's error shape; the field `type` beside it makes the same body
one that clients of Anthropic's API read.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from genesis_stack.protocol.api_error import ApiError
from genesis_stack.render.gateway.routes import Route, routes
from genesis_stack.render.http import (
    IDLE_TIMEOUT,
    MAX_CONNECTIONS_PER_PEER,
    MIN_BODY_RATE,
    RECEIVE_TIMEOUT,
    WRITE_TIMEOUT,
)
from genesis_stack.spec.addresses import authority
from genesis_stack.spec.effective import gateway_on
from genesis_stack.spec.http import Gateway
from genesis_stack.spec.model import Stack

CERTIFICATE: Final = "tls.pem"
KEY: Final = "tls.pem.key"
AUTHORITY: Final = "ca.pem"
"""Names under which the gateway is handed its secrets; HAProxy looks for a key beside its certificate."""
HANDED: Final = "${CREDENTIALS_DIRECTORY}"
"""The directory with them, an environment variable of the process (systemd.exec(5))."""

MOST_CONNECTIONS: Final = 4096
ERRORS_PER_SOURCE: Final = 240
"""Requests of one address that may be refused within a minute, before it has to wait one."""
LARGE: Final = 64 * 1024
"""Bytes from which on a body counts as large: few of them are taken in at the same time."""
AROUND_A_BODY: Final = 64 * 1024
"""Bytes of a buffer for the head of a request and for HAProxy's own marks."""
BALANCE: Final = 125
"""Percent of the average load that a replica may have before its beginnings go to the next one."""
MARGIN: Final = 10.0
"""Seconds that a server gets beyond a request's deadline: it answers by itself when that passes."""
UNPLUGGED: Final = 20.0
"""Seconds of silence after which another host counts as gone, and its streams end. One that restarts is
silent to a large body too, whose client is then told to come back: so not for servers here."""
BEGINNINGS: Final = (
    "$.system",
    "$.system[0].text",
    "$.instructions",
    "$.messages[0].content",
    "$.messages[0].content[0].text",
    "$.prompt",
    "$.input",
)
"""Where the beginning of a prompt may stand, in the order in which models read it."""

_SAID: Final = {
    400: "The request is no valid HTTP.",
    403: "This is not allowed.",
    408: "The request did not arrive in time.",
    500: "The gateway had an unexpected error.",
    502: "The server that worked on this ended before it answered; asking again is safe.",
    503: "No server can take this now; ask again soon.",
    504: "The server did not answer in time.",
}
_CODES: Final = {
    400: "bad_request",
    403: "forbidden",
    408: "request_timeout",
    500: "internal_error",
    502: "server_lost",
    503: "unavailable",
    504: "gateway_timeout",
}
_RETRY_AFTER: Final = {502: 1, 503: 2, 504: 5}
"""Seconds after which asking again makes sense."""


def haproxy_config(stack: Stack, about: str) -> str:
    """`haproxy.cfg` for the host that a stack was placed on; `about` is its first line."""
    from jinja2 import Environment, StrictUndefined

    gateway = gateway_on(stack, None)
    assert gateway is not None  # noqa: S101 -- rendered only where there is one
    found = tuple(routes(stack))
    environment = Environment(
        autoescape=False,  # noqa: S701 -- no page: values are names, numbers, and JSON quoted below
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    source = (files("genesis_stack.render.gateway") / "haproxy.cfg.j2").read_text()
    return environment.from_string(source).render(about=about, **_values(stack, gateway, found))


def _values(stack: Stack, gateway: Gateway, found: tuple[Route, ...]) -> dict[str, Any]:
    largest = max(route.body for route in found)
    buffer = largest + AROUND_A_BODY
    limits = [client.requests_per_minute for client in stack.clients.values()]
    names = ", ".join(name for route in found for name in route.names)
    return {
        "routes": found,
        "bind": authority(gateway.listen, gateway.port),
        "tls": f' ssl crt "{HANDED}/{CERTIFICATE}" alpn http/1.1' if gateway.tls else "",
        "ca": gateway.ca_secret is not None,
        "to_server": _to_server(stack, gateway),
        "metrics_port": gateway.metrics_port,
        "affine": [route for route in found if gateway.affinity and len(route.replicas) > 1],
        "beginnings": BEGINNINGS,
        "balance": BALANCE,
        "browsers": bool(stack.http.cors_origins),
        "most_connections": MOST_CONNECTIONS,
        "most_per_source": MAX_CONNECTIONS_PER_PEER,
        "errors_per_source": ERRORS_PER_SOURCE,
        "per_caller": max(limits, default=0),
        "buffer": buffer,
        "large": LARGE,
        "largest": largest,
        "uploads": max(2, gateway.memory // (4 * buffer)),
        "longest": max(route.timeout for route in found) + MARGIN,
        "margin": MARGIN,
        "receive": RECEIVE_TIMEOUT,
        "receive_large": RECEIVE_TIMEOUT + largest / MIN_BODY_RATE,
        "idle": IDLE_TIMEOUT,
        "write": WRITE_TIMEOUT,
        "unplugged": f" tcp-ut {_milliseconds(UNPLUGGED)}",
        "seconds": _milliseconds,
        "retry": _retry_after,
        "errors": {status: _error(status, text, _CODES[status]) for status, text in _SAID.items()},
        "too_many": _error(429, "Too many requests; wait a little.", "rate_limit_exceeded"),
        "too_large": _error(413, f"The body is larger than {largest} bytes.", "request_too_large"),
        "nothing_here": _error(404, "There is nothing at this path.", "not_found"),
        "queue_full": _error(503, "Too many requests wait for this model; ask again soon.", "queue_full"),
        "no_model": _error(
            404, f"This model is not served here; these are: {names}.", "model_not_found", param="model"
        ),
        "models": _models(found),
    }


def _to_server(stack: Stack, gateway: Gateway) -> str:
    """How servers are spoken to: on one host there is nobody to mistake them for."""
    if stack.http.tls is None:
        return ""
    if gateway.ca_secret is None:
        return " ssl verify none"
    return f' ssl verify required ca-file "{HANDED}/{AUTHORITY}"'


def _milliseconds(value: float) -> str:
    return f"{value:.0f}s" if value == int(value) else f"{value * 1000:.0f}ms"


def _retry_after(status: int) -> str:
    return f" hdr Retry-After {_RETRY_AFTER[status]}" if status in _RETRY_AFTER else ""


def _error(status: int, message: str, code: str, param: str | None = None) -> str:
    match status:
        case 429:
            error = ApiError(message, "rate_limit_error", code, param)
        case 503:
            error = ApiError(message, "overloaded_error", code, param)
        case _ if status >= 500:  # noqa: PLR2004 -- the class of the status
            error = ApiError(message, "server_error", code, param)
        case _:
            error = ApiError(message, "invalid_request_error", code, param)
    return _quoted(json.dumps({"type": "error", **error.body()}))


def _models(found: tuple[Route, ...]) -> str:
    """The list of all models, as a server gives that of its own."""
    data = [
        {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "genesis-stack",
            "description": route.description,
        }
        for route in found
        for name in route.names
    ]
    return _quoted(json.dumps({"object": "list", "data": data}))


def _quoted(text: str) -> str:
    """One word of a configuration line; within quotes nothing but the quote itself has a meaning."""
    return "'" + text.replace("'", "\\u0027") + "'"
