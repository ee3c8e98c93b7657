"""What comes from this machine, and may therefore read its metrics."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.types import Scope

from genesis_stack.server.errors import HttpError

if TYPE_CHECKING:
    from genesis_stack.protocol.serve_config import HttpConfig

FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""What proxies add: the request was made elsewhere than its connection."""


def is_local(scope: Scope) -> bool:
    """Whether the request was made on this machine: from loopback or a Unix socket, and by no proxy's hand.

    A proxy on this machine that adds none of the usual fields is not seen: it must not pass on /metrics.
    """
    client = scope.get("client")
    headers = Headers(scope=scope)
    return (client is None or is_loopback(client[0])) and not any(name in headers for name in FORWARDED)


def is_loopback(host: str | None) -> bool:
    """Whether a name or an address is this machine's own."""
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_metrics_reader(scope: Scope, client: str | None, http: HttpConfig) -> None:
    """Raise HttpError 403 unless the request is local, or from a declared client where these may read too."""
    if is_local(scope) or (client is not None and http.metrics == "clients"):
        return
    raise HttpError(HTTPStatus.FORBIDDEN, "The metrics are for this machine alone.", code="local_only")
