"""A stand-in for a model's server: so many slots, each of which emits tokens at a fixed pace.

    python -m gateway.paced NAME SLOTS SECONDS_PER_TOKEN

It speaks as much HTTP as HAProxy and clients need, notes what it is asked, and can be told to misbehave.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

TOKENS: Final = 1
"""Of an answer whose request does not say how many."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived; `fields` are its header lines by lower-case name."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = json.loads(self.body) if self.body else {}
        return found


@dataclass
class Paced:
    """One server. `health` and `refuses` are statuses; while `open` is not set, answers wait for it.

    With `dies_after` it closes a connection after so many tokens. `more` are further header lines.
    """

    name: str
    slots: int = 4
    pace: float = 0.0
    port: int = 0
    health: int = 200
    refuses: int | None = None
    dies_after: int | None = None
    more: bytes = b""
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    most: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    _running: int = 0
    _server: asyncio.Server | None = None
    _free: asyncio.Semaphore = field(init=False)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Open for requests."""
        self._free = asyncio.Semaphore(self.slots)
        self.gate.set()

    @property
    def running(self) -> int:
        """Requests that are here and not answered yet."""
        return self._running

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(
            self._connection, "127.0.0.1", self.port, backlog=1024, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port; connections go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (asked := await _request(reader)) is not None:
                if not await self._answer(asked, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def end(self) -> None:
        """Close the port, and every connection."""
        await self.stop()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection ends with it."""
        if asked.target == "/health":
            self._whole(writer, self.health, {"status": "ready" if self.health == 200 else "draining"})
            return True
        self.asked.append(asked)
        self._running += 1
        self.most = max(self.most, self._running)
        try:
            if self.refuses is not None:
                self._whole(writer, self.refuses, {"error": {"message": self.name, "code": "refused"}})
                return True
            async with self._free:
                return await self._work(asked, writer)
        finally:
            self._running -= 1

    async def _work(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if asked.method == "GET":
            self._whole(writer, 200, {"server": self.name})
            return True
        if self.dies_after == 0:
            return False
        await self.gate.wait()
        tokens = int(asked.content.get("max_tokens", TOKENS))
        if not asked.content.get("stream"):
            await asyncio.sleep(self.pace * tokens)
            self._whole(writer, 200, {"server": self.name})
            return True
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for index in range(tokens):
            if index == self.dies_after:
                return False
            await self.gate.wait()
            _chunk(writer, b'data: {"server": "%s", "token": %d}\n\n' % (self.name.encode(), index))
            await writer.drain()
            await asyncio.sleep(self.pace)
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _whole(self, writer: asyncio.StreamWriter, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        writer.write(
            b"HTTP/1.1 %d Status\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n%s"
            % (status, self.more, len(body), body)
        )


@asynccontextmanager
async def serving(*servers: Paced) -> AsyncGenerator[tuple[Paced, ...]]:
    """Start these servers, and stop them in the end."""
    for server in servers:
        await server.start()
    try:
        yield servers
    finally:
        for server in servers:
            await server.end()


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    fields = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name
    }
    return Asked(method, target, fields, await _body(reader, fields))


async def _body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    if "transfer-encoding" not in fields:
        return await reader.readexactly(int(fields.get("content-length", 0)))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


async def _main(name: str, slots: int, pace: float) -> None:
    """Serve until somebody ends this process; the port is the first line of output."""
    async with serving(Paced(name, slots, pace)) as (server,):
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
