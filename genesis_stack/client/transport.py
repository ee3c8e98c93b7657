"""HTTP to the servers: bounded, under a deadline, and with failures as errors of this package."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from pydantic_core import from_json, to_json

from genesis_stack.client.config import LocalLLMConfig
from genesis_stack.client.errors import (
    ClosedError,
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    MalformedResponseError,
)
from genesis_stack.client.redaction import shown_url, without_context
from genesis_stack.client.refusals import refusal
from genesis_stack.client.signing import auth_of
from genesis_stack.client.sse import EventReader, EventTooLongError
from genesis_stack.protocol.headers import REQUEST_ID

_MOST_REFUSAL: Final = 64 * 1024
"""Bytes of an error body that are read."""
_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's word in an error."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request to one server. `deadline` is the event loop's time; `body` None means GET."""

    url: str
    path: str
    deadline: float
    request_id: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Transport:
    """The connections of one client. Environment variables do not reroute them: these servers are ours."""

    def __init__(self, config: LocalLLMConfig) -> None:
        connections = config.max_connections
        self._http = httpx.AsyncClient(
            auth=auth_of(config),
            verify=_trust(config),
            timeout=httpx.Timeout(None, connect=config.timeouts.connect),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,
            follow_redirects=False,
        )
        self._connect = config.timeouts.connect
        self._most = config.max_response_bytes

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def json(self, exchange: Exchange) -> dict[str, Any]:
        """The JSON object that a server answers; raises LocalLLMError."""
        async with self._response(exchange) as response:
            content = await self._content(response, exchange, self._most)
        return _object(content, exchange)

    async def probe(self, exchange: Exchange) -> dict[str, Any]:
        """What `/health` tells, also of a server that is not ready; raises LocalLLMError."""
        request = self._request(exchange)
        async with self._guarded(exchange, None):
            response = await self._http.send(request, stream=True)
        try:
            return _object(await self._content(response, exchange, _MOST_REFUSAL), exchange)
        finally:
            await response.aclose()

    async def fetch(self, url: str, deadline: float, most: int) -> bytes:
        """A file from somewhere else, without our credentials; raises LocalLLMError."""
        exchange = Exchange(shown_url(url), "", deadline, request_id="")
        with without_context():
            async with self._guarded(exchange, None):
                request = self._http.build_request("GET", url)
                response = await self._http.send(request, auth=None, stream=True)
            try:
                content = await self._content(response, exchange, most)
            finally:
                await response.aclose()
        if response.status_code == httpx.codes.OK:
            return content
        raise ConnectionFailedError(f"{exchange.url} answered {response.status_code}", endpoint=exchange.url)

    @asynccontextmanager
    async def _response(self, exchange: Exchange) -> AsyncGenerator[httpx.Response]:
        """An accepted response whose body is still to be read; always closed."""
        response = await self.open(exchange)
        try:
            yield response
        finally:
            await response.aclose()

    async def open(self, exchange: Exchange, *, patience: float | None = None) -> httpx.Response:
        """A response with status 200 whose body is still to be read; the caller closes it.

        `patience` is the most seconds until its headers. Raises LocalLLMError.
        """
        request = self._request(exchange)
        async with self._guarded(exchange, patience):
            response = await self._http.send(request, stream=True)
        if response.status_code == httpx.codes.OK:
            return response
        try:
            content = await self._content(response, exchange, _MOST_REFUSAL)
        finally:
            await response.aclose()
        raise refusal(
            response.status_code,
            response.headers,
            content,
            exchange.body or {},
            endpoint=exchange.url,
            request_id=exchange.request_id,
        )

    def _request(self, exchange: Exchange) -> httpx.Request:
        if self._http.is_closed:
            raise ClosedError("this client is closed", request_id=exchange.request_id)
        headers = {REQUEST_ID: exchange.request_id, **exchange.headers}
        if exchange.body is None:
            return self._http.build_request("GET", exchange.url + exchange.path, headers=headers)
        headers["Content-Type"] = "application/json"
        content = _json(exchange)
        return self._http.build_request(
            "POST", exchange.url + exchange.path, content=content, headers=headers
        )

    async def _content(self, response: httpx.Response, exchange: Exchange, most: int) -> bytes:
        """The body, within bounds."""
        pieces: list[bytes] = []
        size = 0
        async with self._guarded(exchange, None):
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    message = f"{exchange.url} answered more than {most} bytes"
                    raise MalformedResponseError(message, **_where(exchange))
        return b"".join(pieces)

    @asynccontextmanager
    async def _guarded(self, exchange: Exchange, patience: float | None) -> AsyncGenerator[None]:
        """Under the deadline, or within `patience` seconds, with httpx's failures as ours."""
        clock = asyncio.get_running_loop().time
        end = exchange.deadline if patience is None else min(exchange.deadline, clock() + patience)
        try:
            async with asyncio.timeout_at(end):
                yield
        except TimeoutError:
            if patience is None or clock() >= exchange.deadline:
                message = f"{exchange.url} had not answered when the time was up"
                raise DeadlineExceededError(message, **_where(exchange)) from None
            message = f"{exchange.url} sent nothing for {patience:g} s"
            raise ConnectionFailedError(message, **_where(exchange)) from None
        except httpx.ConnectTimeout:
            message = f"{exchange.url} accepted no connection within {self._connect:g} s"
            raise ConnectionFailedError(message, **_where(exchange)) from None
        except httpx.HTTPError as error:
            message = f"{exchange.url}: {type(error).__name__} ({error})"
            remedy = "trust its certificate with ca_file" if _UNTRUSTED in message else None
            raise ConnectionFailedError(message, remedy=remedy, **_where(exchange)) from None


class EventSource:
    """The events of a streamed response. It must be closed."""

    def __init__(self, transport: Transport, exchange: Exchange, response: httpx.Response) -> None:
        self._exchange = exchange
        self._response = response
        self._guarded = transport._guarded  # noqa: SLF001 -- two halves of one thing
        self._pieces = response.aiter_bytes()
        self._reader = EventReader()

    async def next(self, patience: float | None) -> list[bytes] | None:
        """The data of the events that arrive next, None at the end of the response.

        `patience` is the most seconds of silence. Raises LocalLLMError.
        """
        async with self._guarded(self._exchange, patience):
            piece = await anext(self._pieces, None)
        if piece is None:
            return None
        try:
            return self._reader.feed(piece)
        except EventTooLongError:
            message = f"{self._exchange.url} sends an event without an end"
            raise MalformedResponseError(message, **_where(self._exchange)) from None

    async def close(self) -> None:
        """Let go of the connection; a response that was not read to its end takes it along."""
        await self._response.aclose()


def _json(exchange: Exchange) -> bytes:
    """The body as it travels; NaN goes as NaN, so that the server refuses it instead of guessing."""
    try:
        return to_json(exchange.body, inf_nan_mode="constants")
    except (ValueError, UnicodeError):
        message = "the request cannot be written as JSON"
        remedy = "give plain values, and text without lone surrogates"
        raise ConfigurationError(message, remedy=remedy, request_id=exchange.request_id) from None


def parsed(data: bytes, exchange: Exchange) -> dict[str, Any]:
    """The JSON object of an event; raises MalformedResponseError."""
    return _object(data, exchange)


def _object(content: bytes, exchange: Exchange) -> dict[str, Any]:
    try:
        document = from_json(content)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    raise MalformedResponseError(
        f"{exchange.url} answered something that is no JSON object", **_where(exchange)
    )


def _where(exchange: Exchange) -> dict[str, Any]:
    return {"request_id": exchange.request_id, "endpoint": exchange.url}


def _trust(config: LocalLLMConfig) -> ssl.SSLContext | bool:
    if config.ca_file is None:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(config.ca_file)
    except OSError as error:
        reason = error.strerror or "no PEM certificates"
        remedy = "give a file of PEM certificates"
        raise ConfigurationError(f"ca_file {config.ca_file}: {reason}", remedy=remedy) from None
    return context
