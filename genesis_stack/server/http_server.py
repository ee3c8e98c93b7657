"""uvicorn's server with our connections: bounded, with deadlines, and with TLS where it is declared."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.types import ASGIApp

from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server.admission import Admission
from genesis_stack.server.http_connection import HttpConnection
from genesis_stack.server.listeners import BACKLOG

if TYPE_CHECKING:
    from genesis_stack.server.tls import Certificate

KERNEL_BUFFER: Final = 256 * 1024
"""Bytes that the kernel keeps of a connection each way: by itself it would take megabytes for one that is
not read, out of the memory budget."""

H11_SPARE: Final = 1024
"""What h11 may buffer beyond the longest head: we refuse first, so that the answer is ours."""


class HttpServer(uvicorn.Server):
    """Serves `app` on inherited sockets; the caller handles signals and sets `should_exit`."""

    def __init__(self, app: ASGIApp, config: ServeConfig, *, drain_timeout_s: float) -> None:
        """Read the certificate, if there is one.

        Raises:
            ConfigError: it cannot be used.
        """
        self.admission = Admission(config.http)
        self._certificate = _certificate(config)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns of every malformed request
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpConnection,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=config.http.max_header_bytes + H11_SPARE,
                timeout_graceful_shutdown=int(drain_timeout_s),
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none: SIGTERM is a drain with exit code 0, not a death by signal."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self.servers = []
        for listener in sockets or ():
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                listener.setsockopt(socket.SOL_SOCKET, buffer, KERNEL_BUFFER)
            self.servers.append(await loop.create_server(self._connection, sock=listener, backlog=BACKLOG))
        self._keeping = loop.create_task(self.admission.keep())
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what runs; deadlines hold until the end."""
        await super().shutdown(sockets)
        self._keeping.cancel()

    def _connection(self) -> HttpConnection:
        if self._certificate is None:
            return HttpConnection(self.config, self.server_state, self.admission)
        from genesis_stack.server.tls import TlsConnection

        return TlsConnection(self.config, self.server_state, self.admission, self._certificate)


def _certificate(config: ServeConfig) -> Certificate | None:
    if config.http.tls is None:
        return None
    from genesis_stack.server.tls import Certificate

    return Certificate(config.http.tls, config.secrets)
