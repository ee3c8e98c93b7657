"""Requests of every kind of signature, and what http-message-signatures says of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    InvalidSignature,
    MappingKeyResolver,
)
from hypothesis import strategies as st

from genesis_stack.protocol import signature
from genesis_stack.protocol.signature import COVERED, WINDOW, Head, SignatureError, verify

KEY_ID = "0123abcd"
SECRET = b"gk_0123abcd_secret"
BODY = b'{"model":"m"}'
DIGEST = b"sha-256=:" + base64.b64encode(hashlib.sha256(BODY).digest()) + b":"


def now() -> int:
    """Unix time; asked anew, because a run of all tests outlasts the window of a signature."""
    return int(time.time())


@dataclass(frozen=True)
class Fields:
    """Header fields as the library takes them: all lines, in their order."""

    lines: tuple[tuple[str, str], ...]

    def items(self) -> Sequence[tuple[str, str]]:
        """Name and value of each line."""
        return self.lines


@dataclass(frozen=True)
class Message:
    """A request as the library takes it."""

    method: str
    url: str
    headers: Any


class Recording(HTTPSignatureAlgorithm):
    """Takes every signature, and keeps what it should have signed."""

    algorithm_id = "hmac-sha256"
    base = b""

    def __init__(self, public_key: Any = None, private_key: Any = None) -> None:
        pass

    def verify(self, signature: bytes, message: bytes) -> None:  # noqa: ARG002 -- the library's interface
        """Good."""
        Recording.base = message


def secret_of(key_id: str) -> bytes | None:
    """The only key."""
    return SECRET if key_id == KEY_ID else None


def base_by_library(head: Head) -> bytes | None:
    """What the library says must have been signed; None for a form that it refuses."""
    url = f"https://{head.authority.decode('latin-1')}{head.target.decode('latin-1')}"
    lines = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
    keys = MappingKeyResolver(public_keys={KEY_ID: SECRET}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=Recording, key_resolver=keys)
    try:
        verifier.verify(Message(head.method, url, Fields(lines)), max_age=timedelta(seconds=WINDOW))
    except (InvalidSignature, ValueError, TypeError, AssertionError):
        return None
    return Recording.base


def signed_over(head: Head, base: bytes, label: bytes) -> Head:
    """The head with the signature of this base."""
    mac = base64.b64encode(hmac.digest(SECRET, base, "sha256"))
    others = tuple(field for field in head.headers if field[0] != b"signature")
    return replace(head, headers=(*others, (b"signature", label + b"=:" + mac + b":")))


def headers_of(fields: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    """Header fields as a server reads them."""
    return tuple((name.lower().encode(), value.encode()) for name, value in fields.items())


def takes(head: Head) -> bool:
    """Whether ours takes it."""
    try:
        verify(head, secret_of)
    except SignatureError:
        return False
    return True


def takes_the_form(head: Head) -> bool:
    """Whether ours takes it, whatever the signature's bytes are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signature.hmac, "compare_digest", lambda *_: True)
        return takes(head)


METHODS = st.sampled_from(["POST", "GET", "M-SEARCH"])
AUTHORITIES = st.sampled_from(
    [b"test", b"TEST.example", b"test:443", b"test:00443", b"test:80", b"test:", b"[::1]:8000", b"10.0.0.1:0"]
)
TARGETS = st.sampled_from(
    [b"/", b"/v1/x", b"/v1/x?", b"/v1/x?a=b&c=%20d", b"/a%2Fb?/?", b"//a/../b", b"/~@:;="]
)
ODD_METHODS = METHODS | st.sampled_from(["post", "", "GE T", "P\xd6ST"])
ODD_AUTHORITIES = AUTHORITIES | st.sampled_from(
    [b"", b"a b", b"user@test", b"test:http", b"t\xe9st", b"::1", b"[::1", b"a,b", b"test/x", b"a\nb"]
)
ODD_TARGETS = TARGETS | st.sampled_from(
    [b"", b"*", b"?a", b"/%zz", b"/a b", b"/\xe9", b"/a#b", b"http://test/", b'/"', b"/a\n"]
)
SPACES = st.sampled_from(["", "", " ", "  "])
GAPS = st.sampled_from([" ", "  "])
EXTRA = ("date", "x-one", "x-two")
VALUES = st.sampled_from([b"", b"one", b" one ", b"a\tb", b"one, two", b'"quoted"'])
ODD_VALUES = VALUES | st.sampled_from([b"t\xe9st", b"a\x00b", b"a\nb", b"\x7f"])


@st.composite
def parameters(draw: st.DrawFn, *, odd: bool) -> str:
    """Those that are needed, some more, in any order and spelling."""
    chosen = {
        "created": str(now()),
        "keyid": f'"{KEY_ID}"',
        "nonce": '"n\\"on\\\\ce"',
        "alg": '"hmac-sha256"',
        "tag": '"any"',
        "expires": str(now() + 600),
    }
    names = draw(
        st.permutations(
            ["created", "keyid", "nonce", *draw(st.sets(st.sampled_from(["alg", "tag", "expires"])))]
        )
    )
    if odd:
        names = names[draw(st.integers(0, 1)) :]
        wrong = st.sampled_from(
            [
                "1.5",
                "?1",
                "token",
                '""',
                ":aGk=:",
                "-1",
                str(now() - 600),
                str(now() + 600),
                '"rsa-v1_5-sha256"',
                '"' + "n" * 129 + '"',
            ]
        )
        for name in draw(st.sets(st.sampled_from([*names, "created", "other"]), max_size=2)):
            chosen[name] = draw(wrong)
            names = [*names, name] if draw(st.booleans()) else names
    return "".join(f";{draw(SPACES)}{name}={chosen[name]}" for name in names)


@st.composite
def requests(draw: st.DrawFn, *, odd: bool) -> Head:
    """A request with any signature; with `odd` whatever else may be wrong with it."""
    extra = draw(st.lists(st.sampled_from(EXTRA), unique=True))
    names = draw(st.permutations([*COVERED, *extra]))
    if odd:
        more = ["x-missing", "Date", "@scheme", "@target-uri", "@status", "@nothing", "", 'x"y', *COVERED]
        names = names[draw(st.integers(0, 1)) :] + draw(st.lists(st.sampled_from(more), max_size=1))
    quoted = [f'"{name}"' for name in names]
    if odd and draw(st.booleans()):
        quoted[0] += draw(st.sampled_from([";sf", ";bs", ';key="a"', ";req", ";x=1", "x"]))
    listed = draw(SPACES) + "".join(name + draw(GAPS) for name in quoted)
    text = f"({listed}){draw(parameters(odd=odd))}"
    label = draw(st.sampled_from(["sig", "genesis", "*a.b-c_1"]))
    field = draw(SPACES) + f"{label}={text}" + draw(SPACES)
    if odd:
        field += draw(st.sampled_from(["", "", ",", f", {label}={text}", f", other={text}", ";x", "\x00"]))
    values = ODD_VALUES if odd else VALUES
    lines = [(name.encode(), draw(values)) for name in extra for _ in range(draw(st.integers(1, 2)))]
    return Head(
        draw(ODD_METHODS if odd else METHODS),
        draw(ODD_AUTHORITIES if odd else AUTHORITIES),
        draw(ODD_TARGETS if odd else TARGETS),
        (
            *lines,
            (b"content-digest", DIGEST),
            (b"signature-input", field.encode()),
            (b"signature", label.encode() + b"=:AAAA:"),
        ),
    )


def label_of(head: Head) -> bytes:
    """Of its signature."""
    return dict(head.headers)[b"signature"].partition(b"=")[0]
