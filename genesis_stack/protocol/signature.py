"""Whether a request is signed as it must be: HTTP Message Signatures (RFC 9421) with HMAC-SHA256.

A signature covers the method, the path, the query, the authority and the digest of the body (RFC 9530), with
the time of its making, a nonce and the key's id. It does not cover the scheme: a proxy that ends TLS changes
that, and `@target-uri` with it, while path, query and the Host field pass a proxy that is told to keep Host.

Verifying needs no body: `verify` judges the head of a request, so that a server reads no body of a stranger,
and `BodyDigest` judges the body as it arrives.

`signing` makes signatures, with http-message-signatures. That library verifies as well, whatever RFC 9421
knows, and takes five times as long. A server does this for whoever asks, so here stands what its clients
need and no more. Fields are read by http_sf, as in the library, and tests hold the one against the other.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import http_sf

if TYPE_CHECKING:
    from hashlib import _Hash

    from http_sf.types import ParamsType

WINDOW: Final = 300
"""Seconds after `created` in which a signature is good."""
CLOCK_SKEW: Final = 5
"""Seconds by which two clocks may differ."""
COVERED: Final = ("@method", "@authority", "@path", "@query", "content-digest")
"""What every signature must cover; it may cover more fields."""
LONGEST_FIELD: Final = 4096
"""Bytes of one signature field that are looked at: parsing costs more the longer it is."""
LONGEST_NONCE: Final = 128

_REQUIRED: Final = frozenset(COVERED)
_PARAMETERS: Final[dict[str, type]] = {
    "created": int,
    "expires": int,
    "keyid": str,
    "nonce": str,
    "alg": str,
    "tag": str,
}
"""What a signature may say of itself (RFC 9421, 2.3)."""
_ALGORITHM: Final = "hmac-sha256"
_HASHES: Final[dict[str, Callable[[], _Hash]]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_DECOY: Final = secrets.token_bytes(32)
"""What a signature by an unknown key is verified with: it takes as long as one by a known key."""

# RFC 9110, 5.6.2, and RFC 3986, 3: what cannot be written otherwise is signed as it stands.
_METHOD: Final = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+")
_FIELD_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_FIELD_VALUE: Final = re.compile(rb"[\t\x20-\x7e]*")
_AUTHORITY: Final = re.compile(rb"((?:[a-z0-9._~!$&'()*+,;=-]|%[0-9a-f]{2})+|\[[0-9a-f:.]+\])(?::([0-9]*))?")
_TARGET: Final = re.compile(
    rb"(/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)"
    rb"(?:\?((?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*))?"
)

_TEXT: Final = rb'"[\x20\x21\x23-\x5b\x5d-\x7e]*"'
_USUAL_INPUT: Final = re.compile(
    rb"([a-z*][a-z0-9_.*-]*)=\((%b(?: %b)*)\)((?:;[a-z]+=(?:[0-9]{1,15}|%b))*)" % (_TEXT, _TEXT, _TEXT)
)
_SAID: Final = re.compile(rb';([a-z]+)=(?:([0-9]+)|"([^"]*)")')


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

    def field(self, name: bytes) -> bytes | None:
        """A field by its lower-case name; several lines of one name are one list (RFC 9110, 5.3)."""
        lines = [value for given, value in self.headers if given == name or given.lower() == name]
        return b", ".join([line.strip(b" \t") for line in lines]) if lines else None


@dataclass(frozen=True, slots=True)
class Signed:
    """What a valid signature says; `created` is Unix time in seconds."""

    key_id: str
    created: int
    nonce: str
    content_digest: bytes


def verify(head: Head, secret_of: Callable[[str], bytes | None]) -> Signed:
    """Check the one signature of a request, but neither its body nor whether its nonce is new.

    `secret_of` gives the secret of a key id, None for an unknown one.

    Raises:
        SignatureError: anything about it is wrong, whatever the fields contain.
    """
    try:
        return _verified(head, secret_of)
    except SignatureError:
        raise
    except Exception as exc:  # a parser that stumbles over a stranger's bytes has refused them
        raise SignatureError(str(exc)) from exc


def _verified(head: Head, secret_of: Callable[[str], bytes | None]) -> Signed:
    label, components, parameters = _usual_input(head) or _only_member(head, b"signature-input")
    signed_label, signature, _ = _only_member(head, b"signature")
    if label != signed_label or not isinstance(components, list) or not isinstance(signature, bytes):
        raise SignatureError("the fields do not belong together")
    values = _values(head, components)
    _check(parameters)
    key_id = str(parameters["keyid"])
    secret = secret_of(key_id)
    # hmac.digest is faster, but lets other threads run meanwhile, and they may keep the interpreter for 5 ms
    expected = hmac.new(_DECOY if secret is None else secret, _base(values, parameters), "sha256").digest()
    if not hmac.compare_digest(expected, signature) or secret is None:
        raise SignatureError("it does not hold, or the key is unknown")
    return Signed(
        key_id, int(cast("int", parameters["created"])), str(parameters["nonce"]), values["content-digest"]
    )


def _usual_input(head: Head) -> tuple[str, Any, ParamsType] | None:
    """What `_only_member` reads of a Signature-Input, in a fifth of the time; None for unusual spellings.

    Usual are single spaces, no escapes, nothing twice: so write all libraries.
    """
    field = head.field(b"signature-input")
    if field is None or len(field) > LONGEST_FIELD or not (found := _USUAL_INPUT.fullmatch(field)):
        return None
    label, names, said = found.groups()
    pairs = _SAID.findall(said)
    parameters = {name.decode(): int(number) if number else text.decode() for name, number, text in pairs}
    if len(parameters) < len(pairs):
        return None
    return label.decode(), [(name, {}) for name in names.decode()[1:-1].split('" "')], parameters


def _only_member(head: Head, name: bytes) -> tuple[str, Any, ParamsType]:
    """Label, value and parameters of the one member of a dictionary field (RFC 8941, 3.2)."""
    field = head.field(name)
    if field is None or len(field) > LONGEST_FIELD:
        raise SignatureError("a signature field is missing, or too long")
    members = http_sf.parse(field, tltype="dictionary", on_duplicate_key=_refuse_duplicate)
    ((label, (value, parameters)),) = cast("dict[str, tuple[Any, ParamsType]]", members).items()
    return label, value, parameters


def _refuse_duplicate(key: str, context: str) -> NoReturn:
    raise SignatureError(f"{context} {key} stands there twice")


def _values(head: Head, components: Sequence[tuple[Any, ParamsType]]) -> dict[str, bytes]:
    """What is covered, in the order of its signing.

    Components with parameters, such as a part of a field, are not understood and refused.
    """
    values: dict[str, bytes] = {}
    for name, parameters in components:
        if not isinstance(name, str) or parameters or name in values:
            raise SignatureError("a component has parameters, or stands there twice")
        values[name] = _value(head, name)
    if not values.keys() >= _REQUIRED:
        raise SignatureError("it does not cover what it must")
    return values


def _value(head: Head, name: str) -> bytes:
    """A component's value (RFC 9421, 2.1 and 2.2)."""
    match name:
        case "@method" if _METHOD.fullmatch(head.method):
            return head.method.encode()
        case "@authority" if authority := _AUTHORITY.fullmatch(head.authority.lower()):
            host, port = authority.groups()
            return host if not port or port.lstrip(b"0") == b"443" else authority[0]
        case "@path" if target := _TARGET.fullmatch(head.target):
            return target[1]
        case "@query" if target := _TARGET.fullmatch(head.target):
            return b"?" + (target[2] or b"")
        case _ if _FIELD_NAME.fullmatch(name):
            value = head.field(name.encode())
            if value is not None and _FIELD_VALUE.fullmatch(value):
                return value
    raise SignatureError("a component is unknown, missing or malformed")


def _check(parameters: ParamsType) -> None:
    """Everything that a signature says of itself; raises SignatureError."""
    for name, value in parameters.items():
        if type(value) is not _PARAMETERS.get(name):
            raise SignatureError("a parameter is unknown, or of another type")
    said = cast("dict[str, Any]", parameters)
    now = time.time()
    if not now - WINDOW - CLOCK_SKEW <= said["created"] <= now + CLOCK_SKEW:
        raise SignatureError("it is too old, or of the future")
    if said.get("expires", now) < now - CLOCK_SKEW:
        raise SignatureError("it has ended")
    if said.get("alg", _ALGORITHM) != _ALGORITHM:
        raise SignatureError("it is of another algorithm")
    if not 0 < len(said["nonce"]) <= LONGEST_NONCE:
        raise SignatureError("no nonce, or too long a one")


def _base(values: dict[str, bytes], parameters: ParamsType) -> bytes:
    """The signature base (RFC 9421, 2.5); its last line is the field again, in its one strict spelling."""
    lines = [b'"%s": %s\n' % (name.encode(), value) for name, value in values.items()]
    names = " ".join([f'"{name}"' for name in values])
    said = "".join([f";{name}={_spelled(value)}" for name, value in parameters.items()])
    return b'%s"@signature-params": (%s)%s' % (b"".join(lines), names.encode(), said.encode())


def _spelled(value: object) -> str:
    """An Integer or a String (RFC 8941, 4.1)."""
    if isinstance(value, int):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class BodyDigest:
    """Compares a body that arrives piece by piece with the signed Content-Digest."""

    def __init__(self, content_digest: bytes) -> None:
        """Read the field.

        Raises:
            SignatureError: it names neither sha-256 nor sha-512, or cannot be read.
        """
        try:
            members = http_sf.parse(content_digest, tltype="dictionary")
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
