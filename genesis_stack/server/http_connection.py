"""One client's connection: uvicorn's h11 protocol with a deadline for everything that the client owes.

uvicorn waits for ever for a first byte, the rest of a head, the rest of a body, and the reader of an answer.
Here each of these waits has an end, a head is checked before it is parsed, and requests come one at a time:
bytes that follow a request before its answer are dropped and the connection closes after that answer
(RFC 9112, section 9.3.2 lets a client expect that), so nothing can hide behind a request.
"""

from __future__ import annotations

import asyncio
import enum
import math
from http import HTTPStatus
from typing import Final, cast

import h11
from pydantic_core import to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from genesis_stack.server import request_head
from genesis_stack.server.admission import Admission, peer_of
from genesis_stack.server.errors import HttpError, unavailable

LINGER_S: Final = 2.0
"""How long a client may go on sending after its answer: closing at once could cost it the answer."""

LINGER_BYTES: Final = 1024 * 1024
"""How much it may send in that time."""

SMALL_CHUNKS: Final = 16 * 1024
"""Bytes of a chunked body that may be cut as its sender likes. Beyond them a quarter of what the body has may
be framing: each chunk costs the parser as much as hundreds of bytes, tiny ones would take all of its time."""

NO_REQUEST: Final = "This is no HTTP/1.1 request."


class Turn(enum.Enum):
    """Whose turn it is, and for what."""

    HANDSHAKE = enum.auto()  # the client's: TLS
    HEAD = enum.auto()  # the client's: a request line and header fields
    BODY = enum.auto()  # the client's: the rest of the body
    ANSWER = enum.auto()  # ours
    IDLE = enum.auto()  # the client's: its next request, if it has one
    CLOSING = enum.auto()  # nobody's: the answer is on its way out


class HttpConnection(H11Protocol):
    """uvicorn's server makes one for each accepted connection."""

    def __init__(self, config: Config, server_state: ServerState, admission: Admission) -> None:
        super().__init__(config=config, server_state=server_state, app_state={})
        self._application = cast("ASGIApp", self.app)  # uvicorn has its own names for the same shapes
        self.app = self._run
        self._admission = admission
        self._limits = admission.config
        self._peer = ""
        self._turn = Turn.HEAD
        self._head = bytearray()
        self._received = 0
        self._consumed = 0
        self._client_until = math.inf
        self._reader_until = math.inf
        self._fault: HttpError | None = None

    # What Admission asks.

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn."""
        return self._turn is not Turn.ANSWER

    @property
    def deadline(self) -> float:
        """When the client has taken long enough to send, or to read."""
        return min(self._client_until, self._reader_until)

    def expire(self) -> None:
        """End the wait: 408 where a request has begun, else just close."""
        reads = self._reader_until > self._client_until
        match self._turn:
            case Turn.HEAD if self._head and reads:
                self._refuse(_timeout())
            case Turn.BODY if reads and self._fault is None and not self.cycle.response_started:
                self._fail(_timeout())
            case Turn.IDLE if reads:
                self.await_client(Turn.CLOSING, LINGER_S)
                self.transport.close()
            case _:
                self._admission.refused["timeout"] += 1
                self.abort()

    def abort(self) -> None:
        """Close without a word."""
        self.transport.abort()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it in, or turn it away with a 503 when all places are in use by running requests."""
        super().connection_made(transport)
        if self.enter():
            self.await_client(Turn.HEAD, self._limits.receive_timeout_s)
        else:
            self._write(unavailable("Too many connections.", code="too_many_connections", retry_after=1))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place to others."""
        self._admission.leave(self, self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand on what belongs to the request that is being received, and drop the rest."""
        match self._turn:
            case Turn.HEAD:
                self._receive_head(data)
            case Turn.BODY:
                self._receive_body(data)
            case Turn.IDLE:
                self.await_client(Turn.HEAD, self._limits.receive_timeout_s)
                self._receive_head(data)
            case Turn.ANSWER:
                self._close_after_answer()
            case Turn.CLOSING | Turn.HANDSHAKE:
                self._discard(data)

    def pause_writing(self) -> None:
        """The socket's buffer is full: from now on the reader's time runs."""
        super().pause_writing()
        self._reader_until = self.loop.time() + self._limits.write_timeout_s

    def resume_writing(self) -> None:
        """The reader reads."""
        super().resume_writing()
        self._reader_until = math.inf

    def shutdown(self) -> None:
        """The server stops: as uvicorn does it, unless this connection ends already, and soon."""
        if self._turn is not Turn.CLOSING:
            super().shutdown()
        if self._turn is Turn.BODY:
            self._client_until = min(self._client_until, self.loop.time() + LINGER_S)

    def enter(self) -> bool:
        """Ask for a place."""
        self._peer = peer_of(self.client[0] if self.client else None)
        return self._admission.admit(self, self._peer)

    def await_client(self, turn: Turn, seconds: float) -> None:
        """From now on it is the client's turn, for so long."""
        self._turn = turn
        self._client_until = self.loop.time() + seconds
        self._admission.begin_to_wait(self, self._peer)

    # The parts of a request.

    def _receive_head(self, data: bytes) -> None:
        searched = max(0, len(self._head) - len(request_head.END))
        self._head += data
        end = self._head.find(request_head.END, searched)
        size = len(self._head) if end < 0 else end + len(request_head.END)
        try:
            request_head.check_beginning(self._head)
            if size > self._limits.max_header_bytes:
                raise request_head.head_too_large(f"more than {self._limits.max_header_bytes} bytes")
            if end < 0:
                return
            request_head.check_head(bytes(self._head[:size]))
        except HttpError as refusal:
            self._refuse(refusal)
            return
        request = bytes(self._head)
        self._head.clear()
        self._fault = None
        self._received, self._consumed = len(request) - size, 0
        self.await_client(Turn.BODY, self._limits.receive_timeout_s)
        super().data_received(request)
        self._after_data()

    def _receive_body(self, data: bytes) -> None:
        if not self.cycle.response_complete:
            self._received += len(data)
            self._client_until += len(data) / self._limits.min_body_rate
        elif not self._discard(data):
            return
        super().data_received(data)
        self._after_data()

    def _after_data(self) -> None:
        """See how far the request has come."""
        if self._turn is not Turn.BODY or self.transport.is_closing():
            return
        if self.cycle.response_complete:
            if self.conn.their_state is h11.IDLE:
                self.await_client(Turn.IDLE, self._limits.idle_timeout_s)
        elif self._received > SMALL_CHUNKS + 1.25 * (self._consumed + len(self.cycle.body)):
            self._fail(
                HttpError(HTTPStatus.BAD_REQUEST, "Send larger chunks.", code="bad_request", headers=_CLOSE)
            )
        elif not self.cycle.more_body:
            self._turn = Turn.ANSWER
            self._client_until = math.inf
            if self.conn.trailing_data[0]:
                self._close_after_answer()

    def _close_after_answer(self) -> None:
        """Answer this request, and no other."""
        self.cycle.keep_alive = False
        if CLOSE_HEADER not in self.headers:
            self.headers.append(CLOSE_HEADER)
        self.flow.resume_reading()  # only who reads learns that the client has gone

    def on_response_complete(self) -> None:
        """The answer is written: wait for the next request, or for what is left of this one."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the idle time is one of the deadlines here
        self._received = 0
        if self.transport.is_closing():
            unread = self.transport.get_write_buffer_size() > 0
            self.await_client(Turn.CLOSING, self._limits.write_timeout_s if unread else LINGER_S)
        elif self.conn.their_state is h11.SEND_BODY:
            self.await_client(Turn.BODY, LINGER_S)
        else:
            self.await_client(Turn.IDLE, self._limits.idle_timeout_s)

    def _discard(self, data: bytes) -> bool:
        """Count what nobody reads; False when it was too much."""
        self._received += len(data)
        if self._received <= LINGER_BYTES:
            return True
        self.abort()
        return False

    # Refusals of what is no request.

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 -- uvicorn's sentence
        """What h11 cannot parse; uvicorn calls this."""
        refusal = HttpError(HTTPStatus.BAD_REQUEST, NO_REQUEST, code="bad_request", headers=_CLOSE)
        if self.conn.our_state is h11.IDLE:
            self._refuse(refusal)
        elif self.conn.our_state is h11.SEND_RESPONSE:
            self._fail(refusal)
        else:
            self.abort()

    def _fail(self, refusal: HttpError) -> None:
        """Let the application, which waits for the body, answer that it will not come."""
        self._fault = refusal
        self.await_client(Turn.BODY, LINGER_S)
        self.cycle.message_event.set()

    def _refuse(self, refusal: HttpError) -> None:
        """Answer, then let the client read it before the connection closes."""
        self._admission.refused[refusal.error.code or ""] += 1
        self._received = 0
        self.await_client(Turn.CLOSING, LINGER_S)
        self._write(refusal)
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:  # the client has reset the connection, and the loop has not told us yet
            self.abort()

    def _write(self, refusal: HttpError) -> None:
        body = to_json(refusal.error.body())
        fields = {
            "content-type": "application/json",
            **_CLOSE,
            **refusal.headers,
            "content-length": len(body),
        }
        lines = [
            f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}",
            *(f"{name}: {value}" for name, value in fields.items()),
        ]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    # Around the application.

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; a body that does not arrive is its to refuse and to log."""

        async def receive_in_time() -> Message:
            message = await receive()
            if self._fault is not None:
                raise self._fault
            self._consumed += len(message.get("body", b""))
            return message

        await self._application(scope, receive_in_time, send)


_CLOSE: Final = {"connection": "close"}


def _timeout() -> HttpError:
    message = "The request did not arrive in time."
    return HttpError(HTTPStatus.REQUEST_TIMEOUT, message, code="request_timeout", headers=_CLOSE)
