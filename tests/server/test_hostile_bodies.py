"""Bodies that parsers disagree on are refused by a live server, and no error tells of its inside."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from live import CHAT, Live, live, post
from waiting import until

PATH = "/v1/chat/completions"
MESSAGES = b'"messages":[{"role":"user","content":"x"}]'
BODIES = {
    "NaN": b'{"model":"scripted","temperature":NaN,' + MESSAGES + b"}",
    "Infinity": b'{"model":"scripted","temperature":Infinity,' + MESSAGES + b"}",
    "-Infinity": b'{"model":"scripted","logit_bias":{"1":-Infinity},' + MESSAGES + b"}",
    "a number that is infinite": b'{"model":"scripted","temperature":1e999,' + MESSAGES + b"}",
    "NaN in an unknown field": b'{"model":"scripted","x":[{"y":NaN}],' + MESSAGES + b"}",
    "a lone surrogate": b'{"model":"scripted","messages":[{"role":"user","content":"\\ud800"}]}',
    "half a surrogate pair": b'{"model":"scripted","messages":[{"role":"user","content":"\\ud83d x"}]}',
    "a surrogate in a key": b'{"model":"scripted","\\udfff":1,' + MESSAGES + b"}",
    "bytes that are no UTF-8": b'{"model":"scripted","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    "UTF-16": b'\xff\xfe{\0"\0',
    "a key twice": b'{"model":"scripted","model":"scripted",' + MESSAGES + b"}",
    "a key twice, spelled differently": b'{"model":"scripted","\\u006dodel":"x",' + MESSAGES + b"}",
    "a nested key twice": b'{"model":"scripted","messages":[{"role":"user","role":"system","content":"x"}]}',
    "lists in lists": b'{"model":"scripted","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "objects in objects": b'{"model":"scripted","x":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    "an open end": b'{"model":"scripted",' + MESSAGES,
    "something after the end": b'{"model":"scripted",' + MESSAGES + b"}{}",
    "a raw control character": b'{"model":"scripted","messages":[{"role":"user","content":"a\nb"}]}',
    "a comment": b'{"model":"scripted",/* */' + MESSAGES + b"}",
    "a number without end": b'{"model":"scripted","seed":' + b"9" * 100_000 + b"," + MESSAGES + b"}",
    "a list": b"[]",
    "nothing": b"",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    """A server for all of them."""
    with live(tmp_path_factory.mktemp("bodies")) as server:
        yield server


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_what_is_no_json_is_refused(server: Live, body: bytes) -> None:
    """400 in a few words, and the next client is served."""
    answer = server.ask(post(PATH, body, b"connection: close"))
    assert answer.status == 400, answer.content
    assert answer.error["type"] == "invalid_request_error"
    assert len(answer.content) < 800
    assert server.serves()
    assert "Traceback" not in server.log.read_text()


def test_a_fault_shows_its_request_id_only(tmp_path: Path) -> None:
    """500 without message, path or traceback; the log has them under the same id."""
    with live(tmp_path, behaviour="faulty") as server:
        answer = httpx.post(f"{server.url}{PATH}", json=CHAT, timeout=20)
        assert answer.status_code == 500
        assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
        for inside in ("secret", "Traceback", ".py", "ZeroDivision", str(tmp_path)):
            assert inside not in answer.text
        log = server.log.read_text()
        assert "secret detail" in log
        assert answer.headers["x-request-id"] in log


def test_why_a_model_failed_is_for_this_machine(tmp_path: Path) -> None:
    """The reason may name files of the host: who comes through a proxy learns the state alone."""
    with live(tmp_path, behaviour="broken") as server:
        until(lambda: "failed" in httpx.get(f"{server.url}/health").text, "its failure")
        assert "no such tensor" in httpx.get(f"{server.url}/health").json()["reason"]
        passed_on = httpx.get(f"{server.url}/health", headers={"x-forwarded-for": "203.0.113.9"})
        assert passed_on.json()["status"] == "failed"
        assert "reason" not in passed_on.json()
