"""Server-sent events (WHATWG HTML, 9.2) straight onto ASGI's `send`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from genesis_stack.server.disconnect import cancelled_on_disconnect
from genesis_stack.server.error_body import error_body
from genesis_stack.server.errors import ClientGoneError, HttpError, as_http_error, internal_error
from genesis_stack.server.exchange import exchange_of

DONE: Final = b"data: [DONE]\n\n"

_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

_log = logging.getLogger(__name__)


def event(data: Any, name: str | None = None) -> bytes:
    """One event with JSON data; such data has no line break, so it is one line."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + to_json(data) + b"\n\n"


class EventStream(Response):
    """A response that sends events as they are made.

    Making and sending are two tasks: what was made while a send was under way goes out in one piece with
    the next one. Headers leave with the first event, so whatever fails before it still gets a status of
    its own; later failures become an `error` event and end the stream. When the client goes away, or
    leaves more than `http.max_unread_bytes` to be read, nothing more is made.
    """

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        super().__init__()
        self._events = events
        self._unread = 0
        self._made: list[bytes] = []
        self._news = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make and send until the end, a failure, or the client's leaving."""
        most = scope["app"].served.config.http.max_unread_bytes
        maker = asyncio.create_task(self._make(most))
        async with cancelled_on_disconnect(receive, maker) as watcher:
            try:
                await self._send_all(scope, send, maker)
            except asyncio.CancelledError:
                if maker.cancelled() and watcher.done() and not watcher.cancelled():
                    raise ClientGoneError from None
                raise
            finally:
                maker.cancel()
                await asyncio.wait([maker])

    async def _make(self, max_unread: int) -> None:
        try:
            async with aclosing(self._events):
                async for made in self._events:
                    self._made.append(made)
                    self._unread += len(made)
                    if self._unread > max_unread:
                        raise HttpError(HTTPStatus.REQUEST_TIMEOUT, "It was not read in time.", code="unread")
                    self._news.set()
        finally:
            self._news.set()

    async def _send_all(self, scope: Scope, send: Send, maker: asyncio.Task[None]) -> None:
        started = False
        while True:
            await self._news.wait()
            self._news.clear()
            ended = maker.done()
            body = b"".join(self._made)
            self._made.clear()
            self._unread = 0
            if ended:
                body += self._epilogue(scope, maker, started=started or bool(body))
            if not started:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                started = True
            await send({"type": "http.response.body", "body": body, "more_body": not ended})
            if ended:
                return

    def _epilogue(self, scope: Scope, maker: asyncio.Task[None], *, started: bool) -> bytes:
        """Nothing after success, an error event after a failure; raises it if nothing was sent yet."""
        try:
            maker.result()
        except Exception as exc:
            if not started:
                raise
            exchange = exchange_of(scope)
            error = as_http_error(exc)
            if error is None:
                _log.exception("stream failed", extra={"request_id": exchange.request_id})
                error = internal_error(exchange.request_id)
            exchange.error = error.error.code
            body = error_body(error, scope["path"])
            return event(body, body.get("type"))
        return b""
