"""A stand-in for a model server: it records what it is sent and answers what the test says."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

MODEL = "stand-in"


@dataclass(frozen=True)
class Request:
    """What was sent; header names are lower-case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """What is answered: `after` seconds later, and cut off without an end if `cut` says so."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0
    cut: bool = False


Answer = Callable[[Request], Reply]


@dataclass
class StandIn:
    """A running stand-in."""

    answer: Answer
    port: int = 0
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            while request := await read_request(reader):
                self.requests.append(request)
                reply = self.answer(request)
                await asyncio.sleep(reply.after)
                writer.write(_written(reply))
                await writer.drain()
                if reply.cut:
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.serving.discard(task)
            writer.close()


@asynccontextmanager
async def stand_in(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[StandIn]:
    """A stand-in for the length of a block; it outlives no connection."""
    double = StandIn(answer, tls=tls)
    server = await asyncio.start_server(double.serve, "127.0.0.1", 0, ssl=tls)
    double.port = server.sockets[0].getsockname()[1]
    try:
        yield double
    finally:
        server.close()
        for task in list(double.serving):
            task.cancel()


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None at its end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ")
    return Request(method, path, headers, json.loads(content) if content else None)


def _written(reply: Reply) -> bytes:
    headers = {"content-type": "application/json", **reply.headers}
    length = len(reply.body) + (100 if reply.cut else 0)
    headers.setdefault("content-length", str(length))
    lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + reply.body


def chat_reply(text: str = "Hello.", *, model: str = MODEL, **fields: Any) -> Reply:
    """A chat completion."""
    message = {"role": "assistant", "content": text, **fields}
    body = {
        "id": "chatcmpl-1",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    return Reply(body=json.dumps(body).encode())


def error_reply(status: int, message: str = "no", *, code: str | None = None, **headers: str) -> Reply:
    """A refusal in OpenAI's shape."""
    body = {"error": {"message": message, "type": "x", "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(body).encode(), named)


def stream_reply(*texts: str, cut: bool = False, done: bool = True) -> Reply:
    """A streamed chat completion; `cut` ends the connection before its end."""
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        *({"content": text} for text in texts),
    ]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    if done:
        choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = b"".join(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n" for choice in choices)
    ending = b"data: [DONE]\n\n" if done else b""
    return Reply(body=events + ending, headers={"content-type": "text/event-stream"}, cut=cut)
