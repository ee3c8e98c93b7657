"""Who comes in, and how little anybody else learns."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from access_files import BEARER, AccessFiles, bearer
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_engine import ScriptedEngine
from serving import MODEL, Serve, Served, serving

from genesis_stack.protocol.access import KeySlot
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.protocol.signature import CLOCK_SKEW, COVERED
from genesis_stack.protocol.signing import Head, sign
from genesis_stack.server.errors import HttpError, UnauthorizedError
from genesis_stack.server.replay import REMEMBERED, NonceCache

CHAT = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}).encode()
PATH = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
SIGNING = {"signing": KeySlot(expires=None, secret="alice-secret")}


@pytest.fixture
def files(tmp_path: Path) -> AccessFiles:
    """One declared client without a key."""
    files = AccessFiles(tmp_path)
    files.declare("alice")
    return files


@pytest.fixture
async def serve(files: AccessFiles, weights: Path) -> AsyncGenerator[Serve]:
    """Serve to declared clients alone."""
    async with serving(files.config(weights)) as serve:
        yield serve


@pytest.fixture
async def door(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server that has been up for long enough to believe signatures."""
    return await started_before(60, serve, monkeypatch)


async def started_before(seconds: float, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server that started so long ago."""
    with monkeypatch.context() as patch:
        started = time.time() - seconds
        patch.setattr("genesis_stack.server.door.time.time", lambda: started)
        return await serve(ScriptedEngine())


NOW = time.time()


def signed(key: ClientKey, body: bytes = CHAT, path: str = PATH, **options: Any) -> dict[str, str]:
    """The header fields of a signed chat."""
    head = Head("POST", b"test", path.encode(), ())
    return JSON | sign(head, body, key_id=key.id, secret=key.signing_secret, **options)


async def chat(served: Served, headers: dict[str, str], body: bytes = CHAT) -> httpx.Response:
    """Post a chat as it is."""
    return await served.http.post(PATH, content=body, headers=JSON | headers)


async def test_a_key_opens_the_door(door: Served, files: AccessFiles) -> None:
    """A Bearer key, as OpenAI's clients send it."""
    assert (await chat(door, bearer(files.issue("alice")))).status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/props", "/slots", "/metrics", "/nothing", "/v1/models/x"])
async def test_nobody_unknown_gets_in(door: Served, path: str) -> None:
    """Nor learns which paths there are."""
    elsewhere = httpx.ASGITransport(door.app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://test") as http:
        assert (await http.get(path)).status_code == 401


async def test_health_is_open(door: Served) -> None:
    """It tells a state and no secret."""
    assert (await door.http.get("/health")).json()["status"] == "ready"


async def test_all_refusals_are_the_same(door: Served, files: AccessFiles) -> None:
    """No answer tells which part was wrong."""
    key, expired, gone = files.issue("alice"), ClientKey.generate(), files.issue("alice")
    expired = files.issue("alice", expires=dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1))
    files.revoke(gone)
    flipped = key.text[:-1] + ("0" if key.text[-1] != "0" else "1")
    tokens = (
        flipped,
        ClientKey.generate().text,
        expired.text,
        gone.text,
        key.text[:-1],
        "",
        "x" * 5000,
        "sk-none",
        "gk_\xe9",
    )
    answers = [
        await chat(door, {}),
        await chat(door, {"authorization": f"Basic {key.text}"}),
        await chat(door, {"signature": "x"}),
    ]
    for token in tokens:
        request = door.http.build_request("POST", PATH, content=CHAT, headers=JSON)
        request.headers.raw.append((b"authorization", b"Bearer " + token.encode("latin-1")))
        answers.append(await door.http.send(request))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer realm="genesis-stack"'}


async def test_two_keys_live_side_by_side(door: Served, files: AccessFiles) -> None:
    """The old one is good until the new one has arrived everywhere."""
    old, new = files.issue("alice"), files.issue("alice")
    assert (await chat(door, bearer(old))).status_code == 200
    assert (await chat(door, bearer(new))).status_code == 200


async def test_a_revoked_key_is_refused_from_the_next_request_on(door: Served, files: AccessFiles) -> None:
    """Without a restart, and the other key stays good."""
    kept, revoked = files.issue("alice"), files.issue("alice")
    assert (await chat(door, bearer(revoked))).status_code == 200
    files.revoke(revoked)
    assert (await chat(door, bearer(revoked))).status_code == 401
    assert (await chat(door, bearer(kept))).status_code == 200


async def test_a_slot_ends_with_its_last_day(door: Served, files: AccessFiles) -> None:
    """Yesterday is over, today lasts to its end (UTC)."""
    today = dt.datetime.now(dt.UTC).date()
    yesterday = today - dt.timedelta(days=1)
    files.declare("alice", slots={"a": KeySlot(expires=yesterday, secret=None), "b": BEARER})
    ended, good = files.issue("alice", "a"), files.issue("alice", "b")
    assert (await chat(door, bearer(ended))).status_code == 401
    assert (await chat(door, bearer(good))).status_code == 200
    files.declare("alice", slots={"a": KeySlot(expires=today, secret=None), "b": BEARER})
    assert (await chat(door, bearer(ended))).status_code == 200


async def test_a_key_whose_slot_is_no_longer_declared_is_refused(door: Served, files: AccessFiles) -> None:
    """The stack says who exists."""
    key = files.issue("alice")
    files.declare("alice", slots={"another": BEARER})
    assert (await chat(door, bearer(key))).status_code == 401


async def test_a_client_of_another_model_is_turned_away(door: Served, files: AccessFiles) -> None:
    """With a status of its own: it is known, and may not."""
    files.declare("bob", models=["another"])
    answer = await chat(door, bearer(files.issue("bob")))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")


async def test_unusable_files_leave_the_last_good_ones_in_force(
    door: Served, files: AccessFiles, caplog: pytest.LogCaptureFixture
) -> None:
    """A slip of the hand locks nobody out and lets nobody in, and is told once."""
    key = files.issue("alice")
    assert (await chat(door, bearer(key))).status_code == 200
    (files.directory / "clients.json").write_text("{")
    assert (await chat(door, bearer(key))).status_code == 200
    assert (await chat(door, {})).status_code == 401
    assert len([record for record in caplog.records if "not read again" in record.message]) == 1
    files.secrets.mkdir()
    (files.secrets / "alice-secret").write_text("no key")
    files.declare("alice", slots={**SIGNING, "default": BEARER})
    for _ in range(3):
        assert (await chat(door, bearer(key))).status_code == 200
    assert len([record for record in caplog.records if "not read again" in record.message]) == 2
    (files.secrets / "alice-secret").unlink()
    files.revoke(key)
    assert (await chat(door, bearer(key))).status_code == 401


async def test_health_tells_which_files_are_in_force(door: Served, files: AccessFiles) -> None:
    """So that who changed one sees it arrive."""
    before = (await door.http.get("/health")).json()["access_digest"]
    files.issue("alice")
    assert (await door.http.get("/health")).json()["access_digest"] != before


@pytest.fixture
def key(files: AccessFiles) -> ClientKey:
    """A key that signs, of a client that must."""
    files.declare("alice", slots=SIGNING, require_signature=True)
    return files.issue("alice", "signing")


async def test_a_signed_request_is_answered(door: Served, key: ClientKey) -> None:
    """Method, path, query, authority, digest, time, nonce and key are right."""
    assert (await chat(door, signed(key))).status_code == 200


async def test_the_body_must_be_the_one_signed(door: Served, key: ClientKey) -> None:
    """And is compared before anything looks at it."""
    headers = signed(key)
    assert (await chat(door, headers, CHAT.replace(b"hi", b"ho"))).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/v1/completions"},
        {"path": PATH + "?a=b"},
        {"created": int(NOW) - 310},
        {"created": int(NOW) + 3600},
        {"nonce": "n" * 129},
        {"nonce": ""},
    ],
)
async def test_what_was_signed_must_be_what_arrives(
    door: Served, key: ClientKey, change: dict[str, Any]
) -> None:
    """Nor too old, nor from the future, nor without a nonce."""
    assert (await chat(door, signed(key, **change))).status_code == 401


@pytest.mark.parametrize("left_out", COVERED)
async def test_everything_must_be_covered(door: Served, key: ClientKey, left_out: str) -> None:
    """A signature that leaves anything open is none."""
    message = SimpleNamespace(method="POST", url=f"https://test{PATH}", headers={})
    keys = MappingKeyResolver(public_keys={}, private_keys={key.id: key.signing_secret})
    HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys).sign(
        message,
        key_id=key.id,
        nonce="once",
        covered_component_ids=[name for name in COVERED[:-1] if name != left_out],
        body=None if left_out == "content-digest" else CHAT,
    )
    assert (await chat(door, message.headers)).status_code == 401


async def test_each_request_is_good_once(door: Served, key: ClientKey) -> None:
    """The second time it is a replay."""
    headers = signed(key)
    assert (await chat(door, headers)).status_code == 200
    assert (await chat(door, headers)).status_code == 401


async def test_a_bad_signature_never_falls_back_to_the_key(
    door: Served, files: AccessFiles, key: ClientKey
) -> None:
    """Also not to a good one."""
    files.declare("bob")
    good = bearer(files.issue("bob"))
    assert (await chat(door, good)).status_code == 200
    assert (await chat(door, signed(key, nonce="") | good)).status_code == 401
    assert (await chat(door, {"signature-input": "x"} | good)).status_code == 401


async def test_a_signing_key_is_no_bearer_key(door: Served, files: AccessFiles, key: ClientKey) -> None:
    """Whoever sees one on the way has learned nothing."""
    assert (await chat(door, bearer(key))).status_code == 401
    files.declare("alice", slots={**SIGNING, "default": BEARER})
    assert (await chat(door, bearer(key))).status_code == 401
    assert (await chat(door, bearer(files.issue("alice")))).status_code == 200
    files.declare("alice", slots={**SIGNING, "default": BEARER}, require_signature=True)
    assert (await chat(door, bearer(files.issue("alice")))).status_code == 401


async def test_another_keys_secret_does_not_do(door: Served, files: AccessFiles, key: ClientKey) -> None:
    """Nor an unknown key id."""
    other, unknown = files.issue("alice", "signing"), ClientKey.generate()
    assert (await chat(door, signed(ClientKey(key.id, other.text)))).status_code == 401
    assert (await chat(door, signed(unknown))).status_code == 401
    assert (await chat(door, signed(other))).status_code == 200


async def test_nothing_is_replayed_across_a_restart(
    serve: Serve, key: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who signed before the start is told to sign again; soon after, signatures are good."""
    before, headers = await started_before(60, serve, monkeypatch), signed(key)
    assert (await chat(before, headers)).status_code == 200
    after = await started_before(0, serve, monkeypatch)
    answer = await chat(after, headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "sign_again")
    assert 1 <= int(answer.headers["retry-after"]) <= CLOCK_SKEW + 1
    later = await started_before(CLOCK_SKEW + 1, serve, monkeypatch)
    assert (await chat(later, signed(key))).status_code == 200


async def test_fields_may_be_anything(door: Served, key: ClientKey) -> None:
    """No exception escapes the parsers: every answer is the refusal."""
    good = {name.lower(): value.encode() for name, value in signed(key).items()}
    assert key.id.encode() in good["signature-input"]

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        fields = {name: mangled(data, value) for name, value in good.items()}
        scope = {
            "type": "http",
            "method": data.draw(st.sampled_from(["POST", "GET", "post", "\xe9", ""])),
            "path": PATH,
            "raw_path": data.draw(st.one_of(st.just(PATH.encode()), st.binary(max_size=20))),
            "query_string": data.draw(st.binary(max_size=10)),
            "headers": [(b"host", data.draw(st.one_of(st.just(b"test"), st.binary(max_size=10))))]
            + [(name.encode(), value) for name, value in fields.items()],
        }
        authenticator = door.app.door._authenticator
        assert authenticator is not None
        try:
            authenticator.caller(scope)
        except UnauthorizedError:
            return
        assert fields == good

    fuzz()


def mangled(data: st.DataObject, value: bytes) -> bytes:
    """The value with a part replaced, or another altogether."""
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(value)), st.integers(0, len(value)))))
    kind = data.draw(st.sampled_from(["same", "part", "part", "other", "syntax"]))
    match kind:
        case "same":
            return value
        case "part":
            return value[:start] + data.draw(st.binary(max_size=8)) + value[end:]
        case "syntax":
            piece = data.draw(st.text('()";=:,?0123456789abcsig-@*.\\ ', max_size=30))
            return value[:start] + piece.encode() + value[end:]
        case _:
            return data.draw(st.binary(max_size=60))


async def test_authorization_may_be_anything(door: Served) -> None:
    """Every answer is the refusal."""
    authenticator = door.app.door._authenticator
    assert authenticator is not None

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(st.binary(), st.binary().map(lambda end: b"Bearer gk_" + end)), max_size=3))
    def fuzz(values: list[bytes]) -> None:
        headers = [(b"authorization", value) for value in values]
        with pytest.raises(UnauthorizedError):
            authenticator.caller({"type": "http", "headers": headers})

    fuzz()


def test_a_full_nonce_cache_lets_nobody_in() -> None:
    """Who cannot be remembered is not let in, until room is free again; others do not notice."""
    now = 0.0
    cache = NonceCache(0.0, lambda: now)
    created = int(time.time())
    room = 1000 + int(REMEMBERED / 60 * 6)
    for number in range(room):
        assert cache.use("alice", str(number), created, per_minute=6)
    with pytest.raises(HttpError) as refused:
        cache.use("alice", "one more", created, per_minute=6)
    assert refused.value.status == 503
    assert cache.use("bob", "0", created, per_minute=6)
    now = REMEMBERED + 1.0
    assert cache.use("alice", "one more", created, per_minute=6)
