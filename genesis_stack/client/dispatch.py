"""Brings a request to a server that answers it: fallbacks over retries over hedges over replicas."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

from genesis_stack.client.bucket import Bucket
from genesis_stack.client.config import Endpoint, LocalLLMConfig
from genesis_stack.client.errors import (
    CircuitOpenError,
    DeadlineExceededError,
    LocalLLMError,
    OwnLimitError,
    UnavailableError,
)
from genesis_stack.client.hedge import hedged
from genesis_stack.client.integrity import Verifier
from genesis_stack.client.replicas import Lease, Replica, Replicas
from genesis_stack.client.results import Degraded, Origin
from genesis_stack.client.retry import retried
from genesis_stack.client.route import Route, chain
from genesis_stack.client.streaming import Patience, Stream
from genesis_stack.client.tracing import CallSpan, Tracing
from genesis_stack.client.transport import EventSource, Exchange, Transport

Result = TypeVar("Result")

_log = logging.getLogger("genesis_stack.client")


@dataclass(frozen=True, slots=True)
class Order:
    """A request before it is known which model and server get it. `deadline` is the event loop's time."""

    path: str
    body: Mapping[str, Any] = field(repr=False)
    route: Route
    deadline: float
    prefix: bytes | None = None
    hedge_after: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request of an order, at a server that was chosen for it."""

    lease: Lease
    exchange: Exchange
    origin: Origin


Send = Callable[[Attempt], Coroutine[Any, Any, Result]]


class Dispatcher:
    """The way of every request of one client."""

    def __init__(
        self, config: LocalLLMConfig, endpoints: Sequence[Endpoint], transport: Transport, tracing: Tracing
    ) -> None:
        self._config = config
        self._endpoints = endpoints
        self._transport = transport
        self._tracing = tracing
        self._verifier = Verifier(transport)
        self.replicas = Replicas(endpoints, config.breaker, config.routing)
        self.retry = config.retry
        self._bucket = None if config.requests_per_minute is None else Bucket(config.requests_per_minute)

    async def json(self, order: Order, call: CallSpan) -> tuple[dict[str, Any], Origin]:
        """The answer's object and where it came from; raises LocalLLMError."""
        return await self._dispatch(order, call, self._send_json, hedge_after=order.hedge_after)

    async def stream(self, order: Order, call: CallSpan) -> Stream:
        """The answer, from its first token on; raises LocalLLMError. The caller closes it."""
        return await self._dispatch(order, call, self._send_stream, hedge_after=None)

    async def _dispatch(
        self, order: Order, call: CallSpan, send: Send[Result], *, hedge_after: float | None
    ) -> Result:
        """The model that was asked for, then its fallbacks while there is time."""
        models = chain(order.route, self._endpoints, self._config.routing)
        numbers = count(1)
        for position, model in enumerate(models):
            run = _Run(self, order, call, model, send, numbers, "fallback" if position else None)
            try:
                return await run.answer(hedge_after)
            except UnavailableError as failure:
                if position == len(models) - 1 or asyncio.get_running_loop().time() >= order.deadline:
                    raise
                _log.warning("%s is unavailable (%s), asking its fallback", model, type(failure).__name__)
        raise AssertionError("a chain has a model")

    async def _send_json(self, attempt: Attempt) -> tuple[dict[str, Any], Origin]:
        body = await self._transport.json(attempt.exchange)
        fingerprint = body.get("system_fingerprint")
        await self._verifier.after_answer(attempt.lease.replica, attempt.exchange, fingerprint)
        attempt.lease.settle(None)
        return body, attempt.origin

    async def _send_stream(self, attempt: Attempt) -> Stream:
        timeouts = self._config.timeouts
        response = await self._transport.open(attempt.exchange, patience=timeouts.first_token)
        source = EventSource(self._transport, attempt.exchange, response)
        patience = Patience(timeouts.first_token, timeouts.between_tokens)
        stream = Stream(source, attempt.exchange, attempt.lease, attempt.origin, patience)
        try:
            await stream.prime()
            await self._verifier.after_answer(attempt.lease.replica, attempt.exchange, stream.fingerprint)
        except BaseException as failure:
            await stream.close(failure)
            raise
        return stream

    async def admission(self, deadline: float) -> None:
        """Wait for a token of the client's own bucket; raises OwnLimitError if none comes in time.

        A call whose time is up is not sent at all: DeadlineExceededError, and no server is to blame.
        """
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise DeadlineExceededError("the time was up before the request could be sent")
        if self._bucket is None:
            return
        wait = self._bucket.take(left)
        if wait is None:
            message = (
                f"requests_per_minute of this client allow the next request in {self._bucket.wait:.1f} s"
            )
            raise OwnLimitError(message, retry_after=self._bucket.wait)
        if wait:
            try:
                await asyncio.sleep(wait)
            except asyncio.CancelledError:
                self._bucket.put_back()
                raise

    async def attempt(self, run: _Run[Result], number: int) -> Result:
        """One HTTP request at the best server that is left."""
        await self.admission(run.order.deadline)
        lease = self.replicas.lease(run.model, run.order.prefix, run.tried)
        replica = lease.replica
        run.tried.add(replica)
        try:
            with self._tracing.attempt(run.call, number, replica.url, run.model) as headers:
                exchange = Exchange(
                    url=replica.url,
                    path=run.order.path,
                    deadline=run.order.deadline,
                    request_id=run.call.request_id,
                    body={"model": run.model, **run.order.body},
                    headers=headers,
                )
                await self._verifier.before_use(replica, exchange)
                origin = Origin(run.call.request_id, replica.url, run.model, number, run.degraded)
                return await run.send(Attempt(lease, exchange, origin))
        except BaseException as failure:
            lease.settle(failure)
            if isinstance(failure, LocalLLMError):
                failure.model = failure.model or run.model
                run.failures.append(failure)
            raise


@dataclass(frozen=True, slots=True)
class _Run(Generic[Result]):
    """The attempts at one model for one order."""

    dispatcher: Dispatcher
    order: Order
    call: CallSpan
    model: str
    send: Send[Result]
    numbers: Iterator[int]
    degraded: Degraded | None
    tried: set[Replica] = field(default_factory=set)
    failures: list[LocalLLMError] = field(default_factory=list)

    async def answer(self, hedge_after: float | None) -> Result:
        """The first answer of the model's servers; the last failure if there is none.

        A circuit that opens between two attempts is no news: what opened it is.
        """
        attempt = self._attempt if hedge_after is None else partial(self._hedged, hedge_after)
        deadline, elsewhere = self.order.deadline, self._others
        try:
            return await retried(attempt, self.dispatcher.retry, deadline=deadline, elsewhere=elsewhere)
        except CircuitOpenError:
            if self.failures:
                raise self.failures[-1] from None
            raise

    async def _attempt(self) -> Result:
        return await self.dispatcher.attempt(self, next(self.numbers))

    async def _hedged(self, after: float) -> Result:
        return await hedged(self._attempt, after=after, allowed=self._others)

    def _others(self) -> bool:
        return self.dispatcher.replicas.others(self.model, self.tried)
