"""The verifier beside that of http-message-signatures: where ours takes a form, so does the library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genesis_stack.protocol import signature
from genesis_stack.protocol.signature import COVERED, WINDOW, BodyDigest, Head, SignatureError, Signed, verify
from genesis_stack.protocol.signing import sign

KEY_ID = "0123abcd"
SECRET = b"gk_0123abcd_secret"
BODY = b'{"model":"m"}'
DIGEST = b"sha-256=:" + base64.b64encode(hashlib.sha256(BODY).digest()) + b":"
SEARCH = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))


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


@SEARCH
@given(requests(odd=False))
def test_what_the_library_takes_is_taken(head: Head) -> None:
    """Any order, spelling and company of what must be covered, over the library's own signature base."""
    base = base_by_library(head)
    assert base is not None
    good = signed_over(head, base, label_of(head))
    assert takes(good)
    assert not takes(signed_over(head, base + b" ", label_of(head)))


@SEARCH
@given(requests(odd=True))
def test_nothing_is_taken_that_the_library_refuses(head: Head) -> None:
    """Whatever is odd about it; and what both take means the same to both."""
    if takes_the_form(head):
        base = base_by_library(head)
        assert base is not None
        assert takes(signed_over(head, base, label_of(head)))


@SEARCH
@given(requests(odd=True), st.booleans())
def test_the_quick_reading_is_the_library_s(head: Head, tidy: bool) -> None:
    """Wherever a field is of the usual spelling."""
    if tidy:
        field = re.sub(rb" +", b" ", dict(head.headers)[b"signature-input"].strip())
        field = re.sub(rb"\( | (?=[);])|(?<=;) ", lambda found: found[0].strip(), field).replace(b'\\"', b"")
        head = replace(head, headers=((b"signature-input", field),))
    quick = signature._usual_input(head)
    if quick is not None:
        assert quick == signature._only_member(head, b"signature-input")


@pytest.mark.parametrize("twice", [b';nonce="n"', b";created=%(now)d", b""])
def test_nothing_may_stand_there_twice(twice: bytes) -> None:
    """RFC 8941 lets the last parameter win; two readers that disagree about it would be a hole."""
    names = b" ".join(b'"%s"' % name.encode() for name in COVERED)
    said = b';created=%(now)d;keyid="0123abcd";nonce="n"'
    field = b"sig=(" + names + b")" + (said + twice) % {b"now": now()}
    lines = ((b"content-digest", DIGEST), (b"signature-input", field), (b"signature", b"sig=:AAAA:"))
    head = Head("POST", b"test", b"/", lines)
    base = base_by_library(head)
    assert base is not None
    assert takes(signed_over(head, base, b"sig")) is (twice == b"")


@pytest.mark.parametrize(
    ("said", "good"),
    [
        (b';nonce="n"', True),
        (b';nonce=""', False),
        (b';nonce="n";alg="hmac-sha256"', True),
        (b';nonce="n";alg="rsa-v1_5-sha256"', False),
        (b';nonce="n";expires=%(later)d', True),
        (b';nonce="n";expires=%(before)d', False),
        (b';nonce="n";expires="%(later)d"', False),
        (b';nonce="n";tag="any"', True),
        (b';nonce="n";other="any"', False),
    ],
)
def test_what_a_signature_says_of_itself_must_hold(said: bytes, good: bool) -> None:
    """Whatever its bytes are."""
    names = b" ".join(b'"%s"' % name.encode() for name in COVERED)
    times = {b"now": now(), b"later": now() + 600, b"before": now() - 600}
    field = b"sig=(" + names + b")" + (b';created=%(now)d;keyid="0123abcd"' + said) % times
    lines = ((b"content-digest", DIGEST), (b"signature-input", field), (b"signature", b"sig=:AAAA:"))
    assert takes_the_form(Head("POST", b"test", b"/", lines)) is good


@pytest.mark.parametrize("field", [b"other=:AAAA:", b'genesis="AAAA"', b"genesis", b"genesis=:AAAA:, b=:AA:"])
def test_the_two_fields_must_belong_together(field: bytes) -> None:
    """One label, one signature, and bytes."""
    head = library_signed({"label": "genesis"})
    assert takes_the_form(head)
    others = tuple(line for line in head.headers if line[0] != b"signature")
    assert not takes_the_form(replace(head, headers=(*others, (b"signature", field))))


def test_what_we_sign_is_read_quickly() -> None:
    """Its spelling is the usual one."""
    fields = sign(Head("POST", b"test", b"/"), BODY, key_id=KEY_ID, secret=SECRET)
    lines = tuple((name.lower().encode(), value.encode()) for name, value in fields.items())
    assert signature._usual_input(Head("POST", b"test", b"/", lines)) is not None


@pytest.mark.parametrize("field", [0, 1, 2])
def test_a_field_of_any_length_costs_little(field: int) -> None:
    """What is too long is refused before it is read."""
    fields = sign(Head("POST", b"test", b"/"), BODY, key_id=KEY_ID, secret=SECRET)
    lines = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    assert takes(Head("POST", b"test", b"/", tuple(lines)))
    name, value = lines[field]
    lines[field] = (name, value + b" " * 5000)
    padded = Head("POST", b"test", b"/", tuple(lines))
    assert takes(padded), "spaces at the end are none of the value"
    lines[field] = (name, value + b", a=1" + b"," * 5000)
    assert not takes(Head("POST", b"test", b"/", tuple(lines)))


def test_our_signatures_are_the_library_s() -> None:
    """Its own verifier takes them."""
    head = Head("POST", b"test:8000", b"/v1/x?a=b")
    fields = sign(head, BODY, key_id=KEY_ID, secret=SECRET)
    keys = MappingKeyResolver(public_keys={KEY_ID: SECRET}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)
    (result,) = verifier.verify(Message("POST", "https://test:8000/v1/x?a=b", fields), body=BODY)
    assert result.body == BODY


def test_a_signature_says_what_it_was_told_to() -> None:
    """Its time and nonce, and another nonce each time when it was told none."""
    created = now() - 3
    told = {"created": created, "nonce": "n1"}
    signed = []
    for options in (told, {}, {}):
        fields = sign(Head("POST", b"test", b"/"), BODY, key_id=KEY_ID, secret=SECRET, **options)
        lines = tuple((name.lower().encode(), value.encode()) for name, value in fields.items())
        signed.append(verify(Head("POST", b"test", b"/", lines), secret_of))
    assert signed[0] == Signed(KEY_ID, created, "n1", DIGEST)
    assert len({one.nonce for one in signed}) == 3


def test_a_signature_is_good_for_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """And five seconds before it, for clocks that are ahead."""
    created = now()
    fields = sign(Head("GET", b"test", b"/"), b"", key_id=KEY_ID, secret=SECRET, created=created)
    head = Head("GET", b"test", b"/", tuple((n.lower().encode(), v.encode()) for n, v in fields.items()))
    for second, good in ((-6, False), (-5, True), (0, True), (305, True), (306, False)):
        monkeypatch.setattr(signature.time, "time", lambda time=created + second: time)
        assert takes(head) is good, second


def library_signed(options: Mapping[str, Any]) -> Head:
    """A request that the library signed with these options."""
    message = Message("POST", "https://test/", {"Content-Digest": DIGEST.decode()})
    keys = MappingKeyResolver(public_keys={}, private_keys={KEY_ID: SECRET})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)
    common = {"key_id": KEY_ID, "nonce": "n", "covered_component_ids": COVERED, "use_existing_digest": True}
    signer.sign(message, **common | dict(options))
    lines = tuple((name.lower().encode(), value.encode()) for name, value in message.headers.items())
    return Head("POST", b"test", b"/", lines)


@pytest.mark.parametrize(
    ("options", "good"),
    [
        ({}, True),
        ({"include_alg": False}, True),
        ({"tag": "any"}, True),
        ({"nonce": None}, False),
        ({"nonce": "n" * 128}, True),
        ({"nonce": "n" * 129}, False),
        ({"covered_component_ids": [*COVERED[:-1], '"content-digest";sf']}, False),
        ({"covered_component_ids": [*COVERED, "@target-uri"]}, False),
        *(
            ({"covered_component_ids": [other for other in COVERED if other != name]}, False)
            for name in COVERED
        ),
    ],
)
def test_the_policy_goes_beyond_the_library(options: dict[str, Any], good: bool) -> None:
    """A nonce, all of what must be covered, and no parts of fields."""
    assert takes(library_signed(options)) is good


def test_an_unknown_key_is_refused_like_a_wrong_signature() -> None:
    """Although its signature is computed: with what, nobody knows."""
    head = library_signed({})
    assert verify(head, secret_of).key_id == KEY_ID
    with pytest.raises(SignatureError, match="does not hold, or the key is unknown"):
        verify(head, lambda _: None)
    with pytest.raises(SignatureError, match="does not hold, or the key is unknown"):
        verify(head, lambda _: b"another")


@pytest.mark.parametrize(
    ("field", "good"),
    [
        (DIGEST, True),
        (b"sha-512=:" + base64.b64encode(hashlib.sha512(BODY).digest()) + b":", True),
        (DIGEST + b", sha-512=:AAAA:", False),
        (DIGEST + b", md5=:AAAA:", True),
        (b"sha-256=:AAAA:", False),
    ],
)
def test_every_digest_that_is_known_must_be_the_body_s(field: bytes, good: bool) -> None:
    """One that is unknown says nothing."""
    digest = BodyDigest(field)
    for at in range(0, len(BODY), 5):
        digest.update(BODY[at : at + 5])
    if good:
        digest.check()
    else:
        with pytest.raises(SignatureError):
            digest.check()


@pytest.mark.parametrize(
    "field", [b"", b"md5=:AAAA:", b"sha-256=text", b"sha-256", b"sha-256=(:AAAA:)", b"=", b"\xff"]
)
def test_a_body_needs_a_digest(field: bytes) -> None:
    """By sha-256 or sha-512."""
    with pytest.raises(SignatureError):
        BodyDigest(field)
