"""TLS for those without a proxy: the certificate, and the handshake of a connection.

The files are looked at for every connection, so that a renewed certificate is used from the next one on and
none is refused for it. Under systemd credentials never change while a service runs: there a restart, during
which the socket keeps its clients waiting, brings the new one.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Final

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from genesis_stack.protocol.serve_config import TlsConfig
from genesis_stack.server.admission import Admission
from genesis_stack.server.config_file import ConfigError
from genesis_stack.server.http_connection import HttpConnection, Turn
from genesis_stack.server.secret_files import Stamp, secret_path, stamp

PROTOCOLS: Final = ["http/1.1"]
"""What is negotiated (ALPN, RFC 7301)."""

_log = logging.getLogger(__name__)


class Certificate:
    """The certificate chain and key in force, PEM files both."""

    def __init__(self, tls: TlsConfig, secrets: str | None) -> None:
        """Read them; `secrets` is their directory, None for the service manager's.

        Raises:
            ConfigError: they cannot be used.
        """
        self._chain, self._key = (secret_path(name, secrets) for name in (tls.certificate, tls.key))
        self._stamps = self._look()
        self._context = self._read()

    @property
    def context(self) -> ssl.SSLContext:
        """For the next handshake; what cannot be used leaves the last good one in force."""
        stamps = self._look()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._context = self._read()
            except ConfigError as error:
                _log.error("certificate not read again: the last one stays", extra={"reason": str(error)})
            else:
                _log.info("certificate read again")
        return self._context

    def _look(self) -> tuple[Stamp, ...]:
        return stamp(self._chain), stamp(self._key)

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(PROTOCOLS)
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._chain}, {self._key}: no certificate with its key: {error}") from None
        return context


class TlsConnection(HttpConnection):
    """A connection that begins with a handshake, within the time that a head has."""

    def __init__(
        self, config: Config, server_state: ServerState, admission: Admission, certificate: Certificate
    ) -> None:
        super().__init__(config, server_state, admission)
        self._certificate = certificate
        self._early = bytearray()
        self._shaking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it in, or close it when all places are in use by running requests."""
        H11Protocol.connection_made(self, transport)
        if self.enter():
            self.await_client(Turn.HANDSHAKE, self._limits.receive_timeout_s)
            self._shaking = self.loop.create_task(self._shake_hands(transport))
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """A request may come in one packet with the end of the handshake, before we are told of that."""
        if self._turn is Turn.HANDSHAKE:
            self._early += data
        else:
            super().data_received(data)

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        try:
            secured = await self.loop.start_tls(
                transport,
                self,
                self._certificate.context,
                server_side=True,
                ssl_handshake_timeout=self._limits.receive_timeout_s,
            )
        except OSError:
            secured = None
        if secured is None or secured.is_closing():
            self._admission.refused["tls"] += 1
            self.connection_lost(None)
            return
        H11Protocol.connection_made(self, secured)
        self.await_client(Turn.HEAD, self._limits.receive_timeout_s)
        if self._early:
            self.data_received(bytes(self._early))


def _no_password() -> str:
    """OpenSSL would ask on the terminal for that of an encrypted key."""
    return ""
