"""GET requests to servers of this host and to what monitors them, with reasons fit for a page."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from genesis_stack.backends.probe import REQUEST_SECONDS

if TYPE_CHECKING:
    import httpx

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of one answer; what is asked for here is far smaller."""
MONITOR_SECONDS: Final = 10.0
"""Patience with Prometheus, which may have a week to read."""
_SHOWN: Final = 200
"""Characters of a refusal that are worth showing."""


class UnansweredError(Exception):
    """There is no usable answer; the message says why, without the address."""


def client(*, servers: bool, key: str = "") -> httpx.AsyncClient:
    """A client that follows no redirect and heeds no proxy, and shows a key where one is given.

    One for this host's own `servers` does not check their certificate: it is made out to another name, and
    there is nobody on the way to mistake them for.
    """
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    idle = httpx.Limits(max_keepalive_connections=0)  # a server that drains need not wait for us
    patience = REQUEST_SECONDS if servers else MONITOR_SECONDS
    return httpx.AsyncClient(
        headers=headers, limits=idle, timeout=patience, trust_env=False, verify=not servers
    )


async def get_text(
    http: httpx.AsyncClient,
    url: str,
    params: Mapping[str, str] | None = None,
    *,
    fine: Collection[int] = (HTTPStatus.OK,),
) -> str:
    """The body of an answer whose status is `fine`; raises UnansweredError otherwise."""
    import httpx

    try:
        async with http.stream("GET", url, params=params) as answer:
            body = b""
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise UnansweredError(f"its answer is larger than {MOST_BYTES >> 20} MiB")
    except httpx.TimeoutException:
        raise UnansweredError(f"no answer within {http.timeout.read:g} s") from None
    except httpx.ConnectError:
        raise UnansweredError("nothing accepts connections there") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnansweredError(str(error) or type(error).__name__) from None
    text = body.decode(errors="replace")
    if answer.status_code not in fine:
        raise UnansweredError(f"it answers {answer.status_code}: {text[:_SHOWN].strip()}")
    return text


async def get_json(
    http: httpx.AsyncClient,
    url: str,
    params: Mapping[str, str] | None = None,
    *,
    fine: Collection[int] = (HTTPStatus.OK,),
) -> Any:
    """The same for JSON."""
    try:
        return json.loads(await get_text(http, url, params, fine=fine))
    except ValueError:
        raise UnansweredError("its answer is not JSON") from None
