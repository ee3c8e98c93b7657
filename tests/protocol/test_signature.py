"""The verifier beside that of http-message-signatures: where ours takes a form, so does the library."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    MappingKeyResolver,
    algorithms,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signed_requests import (
    BODY,
    DIGEST,
    KEY_ID,
    SECRET,
    Message,
    base_by_library,
    headers_of,
    label_of,
    now,
    requests,
    secret_of,
    signed_over,
    takes,
    takes_the_form,
)

from genesis_stack.protocol import signature
from genesis_stack.protocol.signature import COVERED, BodyDigest, Head, SignatureError, Signed, verify
from genesis_stack.protocol.signing import sign

SEARCH = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))


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
    assert signature._usual_input(Head("POST", b"test", b"/", headers_of(fields))) is not None


@pytest.mark.parametrize("field", [0, 1, 2])
def test_a_field_of_any_length_costs_little(field: int) -> None:
    """What is too long is refused before it is read."""
    fields = sign(Head("POST", b"test", b"/"), BODY, key_id=KEY_ID, secret=SECRET)
    lines = list(headers_of(fields))
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
        signed.append(verify(Head("POST", b"test", b"/", headers_of(fields)), secret_of))
    assert signed[0] == Signed(KEY_ID, created, "n1", DIGEST)
    assert len({one.nonce for one in signed}) == 3


def test_a_signature_is_good_for_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """And five seconds before it, for clocks that are ahead."""
    created = now()
    fields = sign(Head("GET", b"test", b"/"), b"", key_id=KEY_ID, secret=SECRET, created=created)
    head = Head("GET", b"test", b"/", headers_of(fields))
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
    return Head("POST", b"test", b"/", headers_of(message.headers))


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
    with pytest.raises(SignatureError) as unknown:
        verify(head, lambda _: None)
    with pytest.raises(SignatureError) as wrong:
        verify(head, lambda _: b"another")
    assert str(unknown.value) == str(wrong.value)


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
