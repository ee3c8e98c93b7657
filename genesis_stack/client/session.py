"""The core of a client: one pool of connections, and calls that bring a conversation to an answer."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from genesis_stack.client.answers import Answers
from genesis_stack.client.config import Endpoint, LocalLLMConfig
from genesis_stack.client.dispatch import Dispatcher, Order
from genesis_stack.client.errors import (
    ClosedError,
    DeadlineExceededError,
    MalformedResponseError,
    UnavailableError,
)
from genesis_stack.client.images import Images
from genesis_stack.client.messages import Messages, has_images, listed, prefix_of, written
from genesis_stack.client.options import ChatOptions, Options, body_of
from genesis_stack.client.redaction import without_context
from genesis_stack.client.results import Completion, Origin, completion_of
from genesis_stack.client.retry import retried
from genesis_stack.client.route import Route
from genesis_stack.client.streaming import Stream
from genesis_stack.client.tracing import Tracing
from genesis_stack.client.transport import Exchange, Transport

CHAT = "/v1/chat/completions"


class Session:
    """What a client holds while it is open."""

    def __init__(self, config: LocalLLMConfig) -> None:
        self.config = config
        self.transport = Transport(config)
        self._tracing = Tracing(capture_content=config.capture_content)
        self._images = Images(
            self.transport.fetch, hosts=config.image_hosts, most_bytes=config.max_image_bytes
        )
        self._answers = Answers(config.cached_answers)
        self._dispatcher: Dispatcher | None = None
        self._discovery = asyncio.Lock()
        self._closed = False

    async def close(self) -> None:
        """Close the connections; calls that still run fail."""
        self._closed = True
        await self.transport.close()

    def deadline(self, options: Mapping[str, Any]) -> float:
        """When a call that starts now must have ended, in the event loop's time."""
        seconds = float(options.get("deadline", self.config.timeouts.deadline))
        return asyncio.get_running_loop().time() + seconds

    async def dispatcher(self, deadline: float) -> Dispatcher:
        """The dispatcher, once it is known which models the servers have."""
        if self._closed:
            raise ClosedError("this client is closed")
        if self._dispatcher is not None:
            return self._dispatcher
        try:
            async with asyncio.timeout_at(deadline), self._discovery:
                if self._dispatcher is None:
                    endpoints = await self._discovered(deadline)
                    self._dispatcher = Dispatcher(self.config, endpoints, self.transport, self._tracing)
                return self._dispatcher
        except TimeoutError:
            raise DeadlineExceededError("no server had named its models when the time was up") from None

    async def complete(self, messages: Messages, options: ChatOptions) -> Completion:
        """One answer, whole; raises LocalLLMError."""
        started = time.perf_counter()
        order = await self._order(messages, options)
        with self._tracing.call("chat", order.route.model, order.body, options.get("request_id")) as call:
            dispatcher = await self.dispatcher(order.deadline)
            try:
                body, origin = await dispatcher.json(order, call)
            except UnavailableError:
                if earlier := self._answers.earlier(order):
                    return earlier
                raise
            completion = _read(body, origin, (time.perf_counter() - started) * 1e3)
            self._tracing.answered(call, completion)
            self._answers.keep(order, completion)
            return completion

    @asynccontextmanager
    async def stream(self, messages: Messages, options: ChatOptions) -> AsyncGenerator[Stream]:
        """One answer as it comes; raises LocalLLMError."""
        order = await self._order(messages, options, stream=True)
        with self._tracing.call("chat", order.route.model, order.body, options.get("request_id")) as call:
            dispatcher = await self.dispatcher(order.deadline)
            stream = await dispatcher.stream(order, call)
            try:
                yield stream
            finally:
                await stream.leave()
                self._tracing.answered(call, stream.partial)

    async def json(
        self, operation: str, path: str, body: Mapping[str, Any], options: Options
    ) -> tuple[dict[str, Any], Origin]:
        """The object that another route answers; raises LocalLLMError."""
        order = Order(path, {**body, **body_of(options)}, route_of(options), self.deadline(options))
        with self._tracing.call(operation, order.route.model, {}, options.get("request_id")) as call:
            dispatcher = await self.dispatcher(order.deadline)
            return await dispatcher.json(order, call)

    async def listing(self, url: str, deadline: float) -> list[dict[str, Any]]:
        """What `/v1/models` of a server lists; raises LocalLLMError."""
        exchange = Exchange(url, "/v1/models", deadline, secrets.token_hex(16))
        with without_context():
            models = (await self.transport.json(exchange)).get("data")
        if isinstance(models, list) and all(isinstance(model, dict) and "id" in model for model in models):
            return models
        raise MalformedResponseError(f"{url} lists no models", endpoint=url)

    async def _order(self, messages: Messages, options: ChatOptions, *, stream: bool = False) -> Order:
        deadline = self.deadline(options)
        turns = listed(messages)
        sent = await written(turns, self._images, deadline)
        body = {"messages": sent, **body_of(options)}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return Order(
            path=CHAT,
            body=body,
            route=route_of(options, images=has_images(turns)),
            deadline=deadline,
            prefix=prefix_of(sent),
            hedge_after=options.get("hedge_after", self.config.routing.hedge_after),
        )

    async def _discovered(self, deadline: float) -> Sequence[Endpoint]:
        """The endpoints with a model each: those without are asked for theirs."""
        found: list[Endpoint] = []
        for endpoint in self.config.endpoints:
            if endpoint.model is not None:
                found.append(endpoint)
                continue

            async def ask(url: str = endpoint.url) -> list[dict[str, Any]]:
                return await self.listing(url, deadline)

            models = await retried(ask, self.config.retry, deadline=deadline, elsewhere=lambda: False)
            found += [endpoint.model_copy(update={"model": str(model["id"])}) for model in models]
        return found


def route_of(options: Options, *, images: bool = False) -> Route:
    """Where the options want a request to go."""
    return Route(options.get("model"), options.get("task", "auto"), tuple(options.get("tags", ())), images)


def _read(body: dict[str, Any], origin: Origin, total_ms: float) -> Completion:
    try:
        return completion_of(body, origin, total_ms)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        where = {"request_id": origin.request_id, "endpoint": origin.endpoint, "model": origin.model}
        raise MalformedResponseError(f"{origin.endpoint} sent no chat completion", **where) from None
