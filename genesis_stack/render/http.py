"""The HTTP surface of a server, with every bound written out."""

from __future__ import annotations

from typing import Final

from genesis_stack.protocol.serve_config import HttpConfig, TlsConfig
from genesis_stack.spec.http import Http

MAX_CONNECTIONS: Final = 1024
"""Beyond it the connection that has waited longest for its client makes room."""
MAX_CONNECTIONS_PER_PEER: Final = 256
"""Of one address; loopback is exempt: there a proxy speaks for all of its clients."""
MAX_HEADER_BYTES: Final = 16 * 1024
"""As Node.js and h11; a signed request has less than 2 KiB."""
RECEIVE_TIMEOUT: Final = 9.0
"""Seconds: whoever does not speak is gone within ten."""
MIN_BODY_RATE: Final = 64 * 1024
"""Bytes: each of these earns a body a second more, so that large ones arrive over slow links too."""
IDLE_TIMEOUT: Final = 75.0
"""Seconds: more than the 60 of usual proxies, which would otherwise reuse a connection that is gone."""
WRITE_TIMEOUT: Final = 30.0
"""Seconds without room in the socket's buffer."""
MAX_UNREAD_BYTES: Final = 4 * 1024 * 1024
"""More than 10,000 streamed tokens."""


def http_config(http: Http) -> HttpConfig:
    """What the stack declares, and the bounds that always hold."""
    tls = http.tls and TlsConfig(certificate=http.tls.certificate_secret, key=http.tls.key_secret)
    return HttpConfig(
        cors_origins=http.cors_origins,
        docs=http.docs,
        metrics=http.metrics,
        tls=tls,
        max_connections=MAX_CONNECTIONS,
        max_connections_per_peer=MAX_CONNECTIONS_PER_PEER,
        max_header_bytes=MAX_HEADER_BYTES,
        receive_timeout_s=RECEIVE_TIMEOUT,
        min_body_rate=MIN_BODY_RATE,
        idle_timeout_s=IDLE_TIMEOUT,
        write_timeout_s=WRITE_TIMEOUT,
        max_unread_bytes=MAX_UNREAD_BYTES,
    )
