"""Who calls: a Bearer key, or a request signed with HMAC-SHA256 (RFC 9421).

A request that claims to be signed must be signed well: it is never taken by its Bearer key instead. All
refusals look the same and take about the same time, whatever was wrong. A refusal costs one hash, or one
HMAC over fields of bounded length, and reads no body.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.types import Message, Receive, Scope

from genesis_stack.protocol.access import ClientPolicy
from genesis_stack.protocol.headers import SIGNATURE_FIELDS
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.server.client_book import ClientBook, LiveKey
from genesis_stack.server.errors import UnauthorizedError

if TYPE_CHECKING:
    from genesis_stack.protocol.signature import BodyDigest
    from genesis_stack.server.replay import NonceCache

LONGEST_BEARER: Final = 256
"""Bytes of an Authorization field that are looked at."""

_DECOY: Final = secrets.token_bytes(32)
"""What the key of an unknown id is compared with."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A client that proved who it is; `body` is what its signature says of the body."""

    name: str
    key_id: str
    policy: ClientPolicy
    body: BodyDigest | None = None

    def reads(self, receive: Receive) -> Receive:
        """`receive`, which raises UnauthorizedError at the end of a body that is not the one signed."""
        return receive if self.body is None else _checked(receive, self.body)


class Authenticator:
    """Checks requests against the clients of a book; `started` is the server's start in Unix time."""

    def __init__(self, book: ClientBook, started: float) -> None:
        self._book = book
        self._started = started
        self._nonces: NonceCache | None = None
        if book.access.expects_signatures:  # loaded now rather than while others stream
            import genesis_stack.protocol.signature  # noqa: F401

    def caller(self, scope: Scope) -> Caller:
        """The client behind a request.

        Raises:
            UnauthorizedError: there is none, or it did not prove it.
            HttpError: 503 for a signature that must be made again; see `replay`.
        """
        fields: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            fields.setdefault(name, []).append(value)
        if not SIGNATURE_FIELDS.isdisjoint(fields):
            return self._signed(scope, fields)
        if b"authorization" in fields:
            return self._bearer(fields[b"authorization"])
        if b"x-api-key" in fields:  # how clients of Anthropic's API send a key
            return self._bearer([b"Bearer " + value for value in fields[b"x-api-key"]])
        raise UnauthorizedError("none")

    def _bearer(self, values: list[bytes]) -> Caller:
        access = self._book.access
        scheme, _, token = values[0].partition(b" ")
        if len(values) != 1 or len(token) > LONGEST_BEARER or scheme.lower() != b"bearer":
            raise UnauthorizedError("bearer")
        key = access.keys.get(_id_in(token))
        expected = key.digest if key is not None and key.digest is not None else _DECOY
        same = hmac.compare_digest(hashlib.sha256(token.strip()).digest(), expected)
        if not same or key is None or key.ends <= time.time():
            raise UnauthorizedError("bearer")
        policy = access.clients[key.client]
        if policy.require_signature:
            raise UnauthorizedError("bearer")
        return Caller(key.client, key.id, policy)

    def _signed(self, scope: Scope, fields: Mapping[bytes, list[bytes]]) -> Caller:
        access = self._book.access
        if not access.expects_signatures:
            raise UnauthorizedError("signature")
        from genesis_stack.protocol.signature import BodyDigest, Head, SignatureError, verify
        from genesis_stack.server.replay import NonceCache

        self._nonces = self._nonces or NonceCache(self._started)
        query = scope["query_string"]
        head = Head(
            method=scope["method"],
            authority=b", ".join(fields.get(b"host", [])),
            target=scope["raw_path"] + (b"?" + query if query else b""),
            headers=tuple(scope["headers"]),
        )
        try:
            signed = verify(head, lambda key_id: _secret(access.keys.get(key_id)))
            body = BodyDigest(signed.content_digest)
        except SignatureError:
            raise UnauthorizedError("signature") from None
        key = access.keys[signed.key_id]
        policy = access.clients[key.client]
        if key.ends <= time.time() or not self._nonces.use(
            key.client, signed.nonce, signed.created, per_minute=policy.requests_per_minute
        ):
            raise UnauthorizedError("signature")
        return Caller(key.client, key.id, policy, body)


def _checked(receive: Receive, digest: BodyDigest) -> Receive:
    from genesis_stack.protocol.signature import SignatureError

    async def receive_checked() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            digest.update(message.get("body", b""))
            if not message.get("more_body", False):
                try:
                    digest.check()
                except SignatureError:
                    raise UnauthorizedError("signature") from None
        return message

    return receive_checked


def _id_in(token: bytes) -> str:
    try:
        return ClientKey.parse(token.decode("ascii")).id
    except ValueError:
        return ""


def _secret(key: LiveKey | None) -> bytes | None:
    return None if key is None else key.secret
