"""A proxy that breaks things between a client and a real server, request by request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle


@dataclass(frozen=True)
class Fault:
    """What happens to one request. Without any field set it passes.

    `latency`: seconds before the request goes on. `reset_after`, `cut_after`: bytes of the response after
    which the connection is reset, or closed; 0 before the first. `silent`: the request is swallowed, and the
    connection stays open. `stall_after`: bytes of the response after which nothing comes any more. `slow`:
    seconds between single bytes. `status`: an answer of the proxy's own. `headers` go into that, or replace
    those of the real one.
    """

    latency: float = 0.0
    reset_after: int | None = None
    cut_after: int | None = None
    stall_after: int | None = None
    silent: bool = False
    slow: float = 0.0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """What is not as usual."""
        return ",".join(f"{name}={value}" for name, value in vars(self).items() if value != vars(PASS)[name])


PASS = Fault()


@dataclass
class FaultProxy:
    """A running proxy. `plan` gives the fault of each request; `forwarded` counts those that went on."""

    upstream: int
    plan: Callable[[], Fault] = lambda: PASS
    port: int = 0
    forwarded: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def always(self, fault: Fault) -> None:
        """The same for every request from now on."""
        self.plan = lambda: fault

    def first(self, *faults: Fault) -> None:
        """These in turn, and then everything passes."""
        left = iter(faults)
        self.plan = lambda: next(left, PASS)

    def around(self, *faults: Fault) -> None:
        """These in turn, for ever."""
        turn = cycle(faults)
        self.plan = lambda: next(turn)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the client."""
        self.open.add(writer)
        try:
            while content := await _request(reader):
                fault = self.plan()
                await asyncio.sleep(fault.latency)
                if not await self._handled(fault, content, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _handled(
        self, fault: Fault, content: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection goes on."""
        if fault.silent:
            await reader.read()
            return False
        if fault.reset_after == 0:
            _reset(writer)
            return False
        if fault.status is not None:
            writer.write(_canned(fault))
            await writer.drain()
            return True
        await self._forward(fault, content, reader, writer)
        return False

    async def _forward(
        self, fault: Fault, content: bytes, client: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        reader, upstream = await asyncio.open_connection("127.0.0.1", self.upstream)
        self.forwarded += 1
        leaving = asyncio.ensure_future(client.read(1))  # a client that leaves must be noticed by the server
        leaving.add_done_callback(lambda _: upstream.close())
        try:
            upstream.write(content.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await _relay(fault, reader, writer, client)
        finally:
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await leaving
            upstream.close()


async def _relay(
    fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: asyncio.StreamReader
) -> None:
    """Hand the response on, as far as the fault lets it."""
    ends = [end for end in (fault.reset_after, fault.cut_after, fault.stall_after) if end is not None]
    left = min(ends, default=1 << 40)
    while left and (piece := await reader.read(1 if fault.slow else 4096)):
        for name, value in fault.headers.items():
            piece = _replaced(piece, name.encode(), value.encode())
        writer.write(piece[:left])
        await writer.drain()
        left -= min(left, len(piece))
        await asyncio.sleep(fault.slow)
    if left == 0 and fault.stall_after is not None:
        while not client.at_eof():  # noqa: ASYNC110 -- the one who waits for the client's leaving is somewhere else
            await asyncio.sleep(0.02)
    if left == 0 and fault.reset_after is not None:
        _reset(writer)


async def _request(reader: asyncio.StreamReader) -> bytes:
    """One request with its body; empty at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)


def _replaced(piece: bytes, name: bytes, value: bytes) -> bytes:
    lines = piece.split(b"\r\n")
    return b"\r\n".join(
        name + b": " + value if line.lower().startswith(name + b":") else line for line in lines
    )


def _canned(fault: Fault) -> bytes:
    lines = [f"HTTP/1.1 {fault.status} X", "content-length: 2", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in fault.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n{}"


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: SO_LINGER of 0 seconds (socket(7))."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def fault_proxy(upstream: int) -> AsyncGenerator[FaultProxy]:
    """A proxy to a port of this machine for the length of a block."""
    proxy = FaultProxy(upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for writer in list(proxy.open):
            writer.transport.abort()
