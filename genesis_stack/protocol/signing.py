"""Requests signed with HMAC-SHA256: HTTP Message Signatures (RFC 9421) over a Content-Digest (RFC 9530).

A signature covers the method, the path, the query, the authority and the digest of the body, with the time
of its making, a nonce and the key's id. It does not cover the scheme: a proxy that ends TLS changes that,
and `@target-uri` with it, while path, query and the Host field pass every proxy that is told to keep Host.

Signing needs the whole body. Verifying does not: `verify` judges the head of a request, so that a server
reads no body of a stranger, and `BodyDigest` judges the body as it arrives.

Importing this takes about 0.1 s (it loads OpenSSL): do so where signatures are made or expected.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import http_sf
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    MappingKeyResolver,
    algorithms,
)

from genesis_stack.protocol.headers import SIGNATURE_FIELDS

if TYPE_CHECKING:
    from hashlib import _Hash

WINDOW: Final = 300
"""Seconds after `created` in which a signature is good."""
CLOCK_SKEW: Final = 5
"""Seconds by which two clocks may differ (what http-message-signatures allows)."""
COVERED: Final = ("@method", "@authority", "@path", "@query", "content-digest")
"""What every signature must cover; it may cover more."""
LONGEST_FIELD: Final = 4096
"""Bytes of one signature field that are looked at: parsing costs more the longer it is."""
LONGEST_NONCE: Final = 128

_LABEL: Final = "genesis"
_IDENTIFIERS: Final = frozenset(f'"{name}"' for name in COVERED)
_HASHES: Final[dict[str, Callable[[], _Hash]]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_DECOY: Final = secrets.token_bytes(32)
"""What a signature by an unknown key is verified with: it takes as long as one by a known key."""


class SignatureError(Exception):
    """The signature, or the body's digest, does not hold; which part of it is in the message, for logs."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body, as bytes on the wire.

    `authority` is the Host field, `target` the path with the query, such as `/v1/models?limit=2`.
    """

    method: str
    authority: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def combined(self) -> dict[str, str]:
        """Fields by lower-case name; several lines of one name are one list (RFC 9110, 5.3)."""
        fields: dict[str, str] = {}
        for raw_name, raw_value in self.headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        return fields


@dataclass(frozen=True, slots=True)
class Signed:
    """What a valid signature says; `created` is Unix time in seconds."""

    key_id: str
    created: int
    nonce: str
    content_digest: str


@dataclass(slots=True)
class _Message:
    """The view of a request that http-message-signatures takes."""

    method: str
    url: str
    headers: dict[str, str]


class _Keys(HTTPSignatureKeyResolver):
    """Secrets of key ids, and a decoy for every other id: refusing takes as long as accepting."""

    def __init__(self, secret_of: Callable[[str], bytes | None]) -> None:
        self._secret_of = secret_of
        self.known = False

    def resolve_public_key(self, key_id: str) -> bytes:
        secret = self._secret_of(key_id)
        self.known = secret is not None
        return _DECOY if secret is None else secret


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


def verify(head: Head, secret_of: Callable[[str], bytes | None]) -> Signed:
    """Check the one signature of a request, but neither its body nor whether its nonce is new.

    `secret_of` gives the secret of a key id, None for an unknown one.

    Raises:
        SignatureError: anything about it is wrong, whatever the fields contain.
    """
    keys = _Keys(secret_of)
    try:
        signed = _verified(head, keys)
    except Exception as exc:  # a parser that stumbles over a stranger's bytes has refused them
        raise SignatureError(str(exc)) from exc
    if not keys.known:
        raise SignatureError("unknown key")
    return signed


def _verified(head: Head, keys: _Keys) -> Signed:
    fields = _signature_and_covered(head.combined())
    message = _Message(head.method, _url(head), fields)
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)
    (result,) = verifier.verify(message, max_age=timedelta(seconds=WINDOW))
    if not _IDENTIFIERS.issubset(result.covered_components):
        raise SignatureError("it does not cover what it must")
    nonce = result.nonce or ""
    if not 0 < len(nonce) <= LONGEST_NONCE:
        raise SignatureError("no nonce, or too long a one")
    created, key_id = result.parameters["created"], result.parameters["keyid"]
    return Signed(str(key_id), int(created), nonce, fields["content-digest"])


def _signature_and_covered(fields: dict[str, str]) -> dict[str, str]:
    """The fields that matter to a signature: the library looks at each one that it is given, twice."""
    signatures = {name: fields.get(name, "") for name in (raw.decode() for raw in SIGNATURE_FIELDS)}
    if max(map(len, signatures.values())) > LONGEST_FIELD:
        raise SignatureError("a signature field is too long")
    named = signatures["signature-input"]
    return signatures | {name: value for name, value in fields.items() if f'"{name}"' in named}


class BodyDigest:
    """Compares a body that arrives piece by piece with the signed Content-Digest."""

    def __init__(self, content_digest: str) -> None:
        """Read the field.

        Raises:
            SignatureError: it names neither sha-256 nor sha-512, or cannot be read.
        """
        try:
            members = http_sf.parse(content_digest.encode(), tltype="dictionary")
        except (ValueError, TypeError) as exc:
            raise SignatureError("malformed Content-Digest") from exc
        self._expected = [
            (_HASHES[name](), member[0])
            for name, member in (members.items() if isinstance(members, dict) else ())
            if name in _HASHES and isinstance(member, tuple) and isinstance(member[0], bytes)
        ]
        if not self._expected:
            raise SignatureError("no Content-Digest by sha-256 or sha-512")

    def update(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        for running, _ in self._expected:
            running.update(piece)

    def check(self) -> None:
        """The body is complete.

        Raises:
            SignatureError: it is not the body that was signed.
        """
        if not all(hmac.compare_digest(running.digest(), digest) for running, digest in self._expected):
            raise SignatureError("the body is not the one that was signed")


def _url(head: Head) -> str:
    """The request as an absolute URL; its scheme is covered by nothing."""
    return f"https://{head.authority.decode('latin-1')}{head.target.decode('latin-1')}"
