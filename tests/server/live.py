"""A live server with a scripted engine, and raw connections to it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
from serving import MODEL, serve_config

PROGRAM = Path(__file__).with_name("serve_scripted.py")
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}


@dataclass
class Answer:
    """What came back on a raw connection: everything until its end."""

    content: bytes

    @property
    def status(self) -> int:
        """Of the first response; 0 for none."""
        return int(self.content.split(b" ", 2)[1]) if self.content else 0

    @property
    def count(self) -> int:
        """How many responses there are."""
        return len(re.findall(rb"HTTP/1\.1 \d{3} ", self.content))

    @property
    def error(self) -> Any:
        """The error object of the first response."""
        return json.loads(self.content.partition(b"\r\n\r\n")[2])["error"]


class Wire:
    """One raw connection."""

    def __init__(self, address: tuple[str, int], timeout: float = 20) -> None:
        self.socket = socket.create_connection(address, timeout=timeout)

    def send(self, *parts: bytes) -> Wire:
        """Send these bytes; a server that has already closed is no error."""
        try:
            for part in parts:
                self.socket.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def next_status(self) -> int:
        """The status of one response, which is read whole; the connection stays open."""
        response = HTTPResponse(self.socket)
        response.begin()
        response.read()
        return response.status

    def answer(self) -> Answer:
        """All that comes until the end of the connection."""
        received = bytearray()
        try:
            while chunk := self.socket.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        finally:
            self.socket.close()
        return Answer(bytes(received))


@dataclass
class Live:
    """A running server."""

    process: subprocess.Popen[str]
    address: tuple[str, int]
    log: Path

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.address[0]}:{self.address[1]}"

    def wire(self, *parts: bytes) -> Wire:
        """A raw connection on which these bytes are sent."""
        return Wire(self.address).send(*parts)

    def ask(self, *parts: bytes) -> Answer:
        """What these bytes are answered with, until the connection ends."""
        return self.wire(*parts).answer()

    def serves(self) -> bool:
        """Whether it answers an honest request."""
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=CHAT, timeout=20)
        return answer.status_code == 200 and self.process.poll() is None


@contextmanager
def live(
    directory: Path,
    *,
    behaviour: str = "",
    limits: Mapping[str, Any] | None = None,
    sections: Mapping[str, Any] | None = None,
    **http: Any,
) -> Generator[Live]:
    """A server whose `http` section differs in these fields."""
    weights = directory / "weights.gguf"
    weights.write_bytes(b"weights")
    config = serve_config(weights, **(limits or {}))
    config["http"] |= http
    config |= sections or {}
    path = directory / "serve.json"
    path.write_text(json.dumps(config))
    log = directory / "stderr"
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, log.open("w") as stderr:
        fd = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "--config", str(path), "--fd", str(fd)],
            pass_fds=[fd],
            env={**os.environ, "SCRIPTED": behaviour},
            stderr=stderr,
            text=True,
        )
        server = Live(process, listener.getsockname(), log)
        try:
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def post(path: str, body: bytes, *fields: bytes, length: int | None = None) -> bytes:
    """A request as it travels; `length` is announced instead of the body's own."""
    announced = len(body) if length is None else length
    lines = [
        b"POST %s HTTP/1.1" % path.encode(),
        b"host: test",
        b"content-type: application/json",
        b"content-length: %d" % announced,
        *fields,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
