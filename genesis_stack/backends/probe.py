"""One look at a server's `/health`."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Final

from genesis_stack.backends.interface import Health, Service
from genesis_stack.spec.addresses import from_here

REQUEST_SECONDS: Final = 2.0
"""Patience with one answer; behind a server that is not there yet we wait in its backlog."""


def ask(service: Service) -> Health:
    """What the server on this port says of itself; never raises."""
    connection = connect(service)
    try:
        connection.request("GET", "/health", headers={"Connection": "close"})
        body = json.loads(connection.getresponse().read(64 * 1024))
        return Health(
            str(body["status"]),
            str(body.get("model_digest", "")),
            str(body.get("config_digest", "")),
            str(body.get("reason", "")),
            str(body.get("access_digest", "")),
        )
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        return Health("unreachable", detail=str(error) or type(error).__name__)
    finally:
        connection.close()


def connect(service: Service) -> http.client.HTTPConnection:
    """A connection to this server from its own host, not opened yet.

    Over TLS the certificate is not verified: the digests in the answer say who gave it.
    """
    host = from_here(service.host)
    if not service.tls:
        return http.client.HTTPConnection(host, service.port, timeout=REQUEST_SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, service.port, timeout=REQUEST_SECONDS, context=context)
