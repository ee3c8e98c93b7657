"""A file server with faults."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Serves `content` at every path; each fault is a field, each request's Range is remembered.

    `cuts` are numbers of body bytes after which the connection breaks, one per request. `statuses` are
    answers that come before any content. `extra` is added to Content-Length. `gate` holds the body back
    after its first half until it is set.
    """

    content: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    chunked: bool = False
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    extra: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    gated: bool = False
    half_sent: threading.Event = field(default_factory=threading.Event)
    requests: list[str | None] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def do_GET(self) -> None:
        files = self.files
        wanted = self.headers["Range"]
        files.requests.append(wanted)
        files.headers.append({name.lower(): value for name, value in self.headers.items()})
        if files.statuses:
            self._empty(files.statuses.pop(0))
            return
        start = 0
        if wanted and files.ranges and self.headers["If-Range"] == files.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(files.content):
                self._empty(416, {"Content-Range": f"bytes */{len(files.content)}"})
                return
        self._head(start)
        self._body(files.content[start:])

    def _empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _head(self, start: int) -> None:
        files = self.files
        self.send_response(206 if start else 200)
        if start:
            size = len(files.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if files.etag:
            self.send_header("ETag", files.etag)
        if files.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(files.content) - start + files.extra))
        self.end_headers()

    def _body(self, body: bytes) -> None:
        files = self.files
        if files.chunked:
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            return
        if files.cuts or files.extra:
            self.wfile.write(body[: files.cuts.pop(0)] if files.cuts else body)
            self.close_connection = True
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        files.half_sent.set()
        if files.gated:
            files.gate.wait(30)
        self.wfile.write(body[half:])

    def log_message(self, *_: object) -> None:
        """Nothing: the requests are remembered."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Nothing: killed clients are part of the tests."""


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    """A running server of this content."""
    files = FileServer(content)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"files": files}))
    files.url = f"http://127.0.0.1:{server.server_address[1]}/model.gguf"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield files
    finally:
        files.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
