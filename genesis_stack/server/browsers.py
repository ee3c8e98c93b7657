"""What web pages may do: nothing, unless the stack names them.

A page anywhere can make its visitor's browser send requests to this machine. CORS (WHATWG Fetch, 3.2) stays
closed for pages that are not declared; and while no client needs a key, their requests are refused as well,
because a name that is made to point here (DNS rebinding) turns a foreign page into one of our own origin.
"""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Scope

from genesis_stack.server.errors import HttpError
from genesis_stack.server.locality import is_loopback

if TYPE_CHECKING:
    from genesis_stack.protocol.serve_config import ServeConfig


def with_cors(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    """Let pages of these origins read what `app` answers; without any, the application itself."""
    if not origins:
        return app
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"], expose_headers=["*"]
    )


def check_origin(scope: Scope, config: ServeConfig) -> None:
    """Raise HttpError 403 for a page that is neither declared nor of this machine, where no key is needed."""
    if config.access is not None:
        return
    origin = Headers(scope=scope).get("origin")
    if origin is None or origin in config.http.cors_origins or is_loopback(_host(origin)):
        return
    raise HttpError(
        HTTPStatus.FORBIDDEN,
        "Web pages may not call this server, unless the stack declares them: http.cors_origins.",
        code="origin_not_allowed",
    )


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None
