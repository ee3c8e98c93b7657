"""The ASGI application: routes, and the boundary that every request passes."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from genesis_stack.protocol.headers import REQUEST_ID
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server import chat, completions, embeddings, introspect, messages, rerank, responses
from genesis_stack.server.audit import open_trail
from genesis_stack.server.body_room import BodyRoom
from genesis_stack.server.browsers import check_origin
from genesis_stack.server.door import Door
from genesis_stack.server.error_body import error_response
from genesis_stack.server.errors import (
    ClientGoneError,
    HttpError,
    as_http_error,
    internal_error,
)
from genesis_stack.server.exchange import Exchange, exchange_of
from genesis_stack.server.locality import check_metrics_reader
from genesis_stack.server.log import log_exchange
from genesis_stack.server.metrics import Metrics
from genesis_stack.server.served_model import ServedModel
from genesis_stack.server.tracing import Trace, tracing_of

_log = logging.getLogger(__name__)


class App:
    """OpenAI's API over one served model.

    The boundary gives each request an id, turns what endpoints raise into OpenAI's error body, logs one
    line and counts. An unexpected exception is logged with its traceback and shown as its request id.
    """

    def __init__(self, served: ServedModel) -> None:
        self.served = served
        self.door = Door(served.config)
        routes = _routes(served.config)
        self.audit = open_trail(served.config)
        self.metrics = Metrics(served, [route.path for route in routes], self.audit)
        self.tracing = tracing_of(served.config)
        self._log_content = served.config.logs.content
        tracing = served.config.tracing
        self._keeps_content = self._log_content or (tracing is not None and tracing.content)
        self.routes = routes
        self.body_room = BodyRoom(served.config.limits.max_body_bytes)
        self._paths = frozenset(route.path for route in routes)
        self._router = Router(routes, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        trace = self.tracing.begin(scope["path"], Headers(scope=scope))
        exchange = Exchange.begin(scope, trace.context, keeps_content=self._keeps_content)
        scope["app"] = self

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (REQUEST_ID.encode(), exchange.request_id.encode()),
                    *trace.response_headers,
                    *(exchange.guard.fields() if exchange.guard is not None else ()),
                    *(exchange.lease.fields() if exchange.lease is not None else ()),
                ]
            await send(message)

        try:
            check_origin(scope, self.served.config)
            await self._router(scope, self.door.enter(scope, receive, exchange), send_noting)
        except Exception as exc:
            error = _refusal(exc, exchange)
            self.door.note(error, exchange)
            exchange.error = error.error.code or str(error.status)
            if isinstance(error, ClientGoneError):
                exchange.status = error.status
            elif exchange.status is None:
                await error_response(error, scope["path"])(scope, receive, send_noting)
            else:
                raise
        finally:
            self._finish(scope, exchange, trace)

    def _finish(self, scope: Scope, exchange: Exchange, trace: Trace) -> None:
        if exchange.lease is not None:
            exchange.lease.release()
        if exchange.entered:
            self.served.leave()
        route = scope.get("route")
        known = scope["path"] if scope["path"] in self._paths else None  # refused before it was routed
        exchange.route = route.path if isinstance(route, Route) else known
        seconds = time.perf_counter() - exchange.started
        self.metrics.observe(exchange, seconds)
        self.audit.record(exchange, seconds)
        log_exchange(exchange, seconds, content=self._log_content)
        trace.finish(exchange, seconds)


def _refusal(exc: Exception, exchange: Exchange) -> HttpError:
    error = as_http_error(exc)
    if error is not None:
        return error
    _log.exception("unexpected error", exc_info=exc, extra={"request_id": exchange.request_id})
    return internal_error(exchange.request_id)


async def _metrics(request: Request) -> Response:
    """Prometheus text."""
    metrics = request.app.metrics
    assert isinstance(metrics, Metrics)  # noqa: S101 -- for the type checker
    check_metrics_reader(request.scope, exchange_of(request.scope).client, request.app.served.config.http)
    metrics.declare_clients(request.app.door.clients)
    return metrics.response(request.headers.get("accept", ""))


def _routes(config: ServeConfig) -> list[Route]:
    routes = [
        Route("/v1/models", introspect.list_models),
        Route("/v1/models/{model:path}", introspect.retrieve_model),
        Route("/v1/chat/completions", chat.create_chat_completion, methods=["POST"]),
        Route("/v1/completions", completions.create_completion, methods=["POST"]),
        Route("/v1/responses", responses.create_response, methods=["POST"]),
        Route("/v1/messages", messages.create_message, methods=["POST"]),
        Route("/v1/messages/count_tokens", messages.count_tokens, methods=["POST"]),
        Route("/v1/embeddings", embeddings.create_embeddings, methods=["POST"]),
        Route("/v1/rerank", rerank.create_ranking, methods=["POST"]),
        Route("/health", introspect.health),
        Route("/metrics", _metrics),
        Route("/props", introspect.props),
        Route("/slots", introspect.slots),
        Route("/tokenize", introspect.tokenize, methods=["POST"]),
        Route("/detokenize", introspect.detokenize, methods=["POST"]),
    ]
    if config.http.docs:
        from genesis_stack.server.docs import docs_routes

        routes += docs_routes(config)
    return routes
