"""Signing requests with HMAC-SHA256: HTTP Message Signatures (RFC 9421) over a Content-Digest (RFC 9530).

`signature` says what is covered, and verifies. Importing this takes about 0.1 s (it loads OpenSSL): do so
where signatures are made.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

from genesis_stack.protocol.signature import COVERED, Head

__all__ = ["Head", "sign"]

_LABEL: Final = "genesis"


@dataclass(slots=True)
class _Message:
    """The view of a request that http-message-signatures takes."""

    method: str
    url: str
    headers: dict[str, str]


def sign(
    head: Head,
    body: bytes,
    *,
    key_id: str,
    secret: bytes,
    created: int | None = None,
    nonce: str | None = None,
) -> dict[str, str]:
    """The fields `Content-Digest`, `Signature-Input` and `Signature` to add to the request.

    `created` is Unix time in seconds, by default now; `nonce` is by default a fresh random one. Each attempt
    to send a request needs a signature of its own: a nonce is good once.
    """
    moment = int(time.time()) if created is None else created
    message = _Message(head.method, _url(head), {})
    keys = MappingKeyResolver(public_keys={}, private_keys={key_id: secret})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)
    signer.sign(
        message,
        key_id=key_id,
        created=datetime.fromtimestamp(moment, UTC),
        nonce=secrets.token_urlsafe(16) if nonce is None else nonce,
        label=_LABEL,
        covered_component_ids=COVERED[:-1],
        body=body,
    )
    return message.headers


def _url(head: Head) -> str:
    """The request as an absolute URL; its scheme is covered by nothing."""
    return f"https://{head.authority.decode('latin-1')}{head.target.decode('latin-1')}"
