"""The page and its data over HTTP: for this machine alone, read-only, and nothing from anywhere else.

A web page of somebody else's that the operator has open can send requests to loopback, and by DNS rebinding
even under its own name, so a request must name this machine in its Host header, and no answer may be framed,
cached, or read from another origin.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from importlib.resources import files
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genesis_stack.dashboard.asking import UnansweredError, client
from genesis_stack.dashboard.past import SPANS, Past, from_memory, from_prometheus
from genesis_stack.dashboard.watch import Watch

OURSELVES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names by which a browser on this machine, or at the end of a tunnel, reaches loopback; at any port."""
MOST_READERS: Final = 16
"""Pages that follow live at a time."""
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE: Final = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def app(watch: Watch) -> ASGIApp:
    """The application; somebody must keep `watch` looking."""
    data = _Data(watch)
    routes = [Route(path, _asset(*asset)) for path, asset in _PAGE.items()]
    routes += [Route("/api/view", data.view), Route("/api/past", data.past), Route("/api/live", data.live)]
    return _Guarded(Starlette(routes=routes))


class _Data:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._readers = 0

    async def view(self, _: Request) -> Response:
        """The latest view."""
        async for view in self._watch.views():
            return JSONResponse(asdict(view))
        raise AssertionError  # pragma: no cover -- views never end

    async def past(self, request: Request) -> Response:
        """Points of plots: `?span=` names one of SPANS, or is absent for what is in memory."""
        span = request.query_params.get("span")
        if span is None:
            return JSONResponse(_plain(from_memory(self._watch.histories)))
        if span not in SPANS:
            return PlainTextResponse(f"span must be one of {', '.join(SPANS)}\n", 400)
        async with client(servers=False) as http:
            try:
                found = await from_prometheus(http, self._watch.monitors, self._watch.histories, span)
            except UnansweredError as error:
                return PlainTextResponse(f"Prometheus: {error}\n", 502)
        return JSONResponse(_plain(found))

    async def live(self, _: Request) -> Response:
        """Every view as a server-sent event, as long as the reader stays."""
        if self._readers >= MOST_READERS:
            return PlainTextResponse("too many pages are open\n", 503)
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        self._readers += 1
        try:
            async for view in self._watch.views():
                yield f"data: {json.dumps(asdict(view), allow_nan=False)}\n\n"
        finally:
            self._readers -= 1


class _Guarded:
    """Refuses requests that name another host, and puts the headers on every answer."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if _named(Headers(scope=scope).getlist("host")):
            await self._inner(scope, receive, send_guarded)
            return
        said = "open this page as http://localhost or http://127.0.0.1, at its port\n"
        await PlainTextResponse(said, 421)(scope, receive, send_guarded)


def _named(hosts: list[str]) -> bool:
    """Whether exactly one Host header names this machine."""
    if len(hosts) != 1:
        return False
    host, colon, port = hosts[0].lower().rpartition(":")
    name = host if colon and port.isdigit() else hosts[0].lower()
    return name in OURSELVES


def _asset(name: str, media_type: str) -> Callable[[Request], Response]:
    content = (files("genesis_stack.dashboard") / "page" / name).read_text(encoding="utf-8")

    def answer(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer


def _plain(past: dict[str, Past]) -> dict[str, object]:
    return {"schema_version": 1, "models": {model: asdict(one) for model, one in past.items()}}
