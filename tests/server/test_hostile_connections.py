"""Whoever is slow, ambiguous or too large is sent away within its time, and nobody else notices."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from live import CHAT, Live, Wire, live, post

PATH = "/v1/chat/completions"
BODY = json.dumps(CHAT).encode()
TIMEOUT_S = 1.0
BODY_RATE = 5000
HEADER_BYTES = 4096
PLACES = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    """One server with short deadlines and few places."""
    directory = tmp_path_factory.mktemp("live")
    bounds = {
        "receive_timeout_s": TIMEOUT_S,
        "min_body_rate": BODY_RATE,
        "max_header_bytes": HEADER_BYTES,
        "max_connections": PLACES,
    }
    with live(directory, limits={"max_body_bytes": 10_000}, **bounds) as server:
        yield server


@pytest.fixture(autouse=True)
def unharmed(server: Live) -> Generator[None]:
    """After each hostile client the next honest one is served, and nothing unexpected is in the log."""
    yield
    assert server.serves()
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "unexpected" not in log


def assert_refused(server: Live, request: bytes, status: int, code: str | None = None) -> None:
    """One short answer in OpenAI's shape that repeats nothing, and the end of the connection."""
    answer = server.ask(request)
    assert answer.status == status, answer.content
    assert answer.count == 1
    assert len(answer.content) < 800
    assert b"connection: close" in answer.content.lower()
    assert code is None or answer.error["code"] == code
    assert b"EVIL" not in answer.content


SLOW = {
    "no bytes": b"",
    "half a request line": b"POST /v1/ch",
    "half a head": b"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\n",
    "half a body": post(PATH, BODY[:20], length=len(BODY)),
    "half a chunk": post(PATH, b"", b"transfer-encoding: chunked").replace(b"content-length: 0\r\n", b"")
    + b"20\r\n{",
}


def test_slow_clients_are_sent_away(server: Live) -> None:
    """408 where a request has begun, else just closed, within the deadline."""
    started = time.monotonic()
    wires = {name: server.wire(content) for name, content in SLOW.items()}
    answers = {name: wire.answer() for name, wire in wires.items()}
    assert time.monotonic() - started < TIMEOUT_S + 4
    assert answers.pop("no bytes").content == b""
    for name, answer in answers.items():
        assert answer.status == 408, name
        assert answer.error["code"] == "request_timeout"
        assert b"connection: close" in answer.content.lower()


@pytest.mark.parametrize("before", [b"", post(PATH, b"", length=len(BODY))], ids=["head", "body"])
def test_a_byte_now_and_then_earns_no_time(server: Live, before: bytes) -> None:
    """The deadline is for the whole, not for the next byte."""
    wire = server.wire(before)
    started = time.monotonic()
    drip = b"GET / HTTP/1.1\r\nx: " if not before else b""
    wire.send(drip)
    with pytest.raises(OSError), socket.socket() as _:  # noqa: PT011, PT012 -- which error depends on timing
        while time.monotonic() - started < 15:
            wire.socket.sendall(b" ")
            time.sleep(0.05)
            if wire.socket.recv(65536, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b"":
                raise OSError
    assert time.monotonic() - started < TIMEOUT_S + 5
    wire.socket.close()


def test_a_steady_large_body_has_the_time_it_needs(server: Live) -> None:
    """Longer than the deadline for half a body, for each part of it earns more."""
    body = json.dumps(CHAT | {"padding": "x" * 9000}).encode()
    started = time.monotonic()
    wire = server.wire(post(PATH, b"", b"connection: close", length=len(body)))
    for begin in range(0, len(body), 3000):
        wire.send(body[begin : begin + 3000])
        time.sleep(0.4)  # the pace of a slow line
    assert time.monotonic() - started > TIMEOUT_S
    assert wire.answer().status == 200


HOST = b"host: test\r\n"
AMBIGUOUS = {
    "both framings": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "both framings, shouted": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nCONTENT-LENGTH: 5\r\n\r\n0\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nhost: a\r\nhost: EVIL\r\n\r\n",
    "two equal hosts": b"GET /health HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "two equal lengths": b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 1\r\ncontent-length: 1\r\n\r\na",
    "a list of lengths": b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 1, 1\r\n\r\na",
    "a signed length": b"POST / HTTP/1.1\r\n" + HOST + b"content-length: +1\r\n\r\na",
    "a huge length": b"POST / HTTP/1.1\r\n" + HOST + b"content-length: " + b"9" * 400 + b"\r\n\r\na",
    "two codings": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n",
    "gzip as coding": b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: gzip, chunked\r\n\r\n",
    "an unknown coding": b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: xchunked\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": b"POST / HTTP/1.1\r\n" + HOST + b"content-length : 1\r\n\r\na",
    "a bare line feed": b"GET /health HTTP/1.1\nhost: a\r\n\r\n",
    "a bare line feed in a value": b"GET /health HTTP/1.1\r\nhost: a\r\nx: y\ncontent-length: 5\r\n\r\n",
    "a bare carriage return": b"GET /health HTTP/1.1\r\nhost: a\r\nx: y\rcontent-length: 5\r\n\r\n",
    "a folded field": b"GET /health HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n",
    "a NUL in a value": b"GET /health HTTP/1.1\r\nhost: a\r\nx: \0EVIL\r\n\r\n",
    "another version": b"GET /health HTTP/2.0\r\nhost: a\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a space in the target": b"GET /hea lth HTTP/1.1\r\nhost: a\r\n\r\n",
    "bytes beyond ASCII in the target": b"GET /\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n",
    "a TLS handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an empty line": b"\r\nGET /health HTTP/1.1\r\nhost: a\r\n\r\n",
    "nonsense": b"EVIL\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_two_readers_could_read_differently_is_refused(server: Live, request_bytes: bytes) -> None:
    """400 and the end of the connection: what follows is never taken for a request."""
    smuggled = b"GET /v1/models HTTP/1.1\r\nhost: EVIL\r\n\r\n"
    assert_refused(server, request_bytes + smuggled, 400, "bad_request")


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"-1\r\n", b"5\r\nabcdefgh\r\n", b"fffffffffffffffffffff\r\n"])
def test_a_malformed_chunk_is_refused(server: Live, chunks: bytes) -> None:
    """400, though the request had begun."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    assert_refused(server, head + b"transfer-encoding: chunked\r\n\r\n" + chunks, 400, "bad_request")


@pytest.mark.parametrize(
    "fields",
    [b"x: " + b"y" * HEADER_BYTES, b"\r\n".join(b"x%d: y" % n for n in range(150))],
    ids=["one long", "many"],
)
def test_a_head_that_is_too_large_is_refused(server: Live, fields: bytes) -> None:
    """431, with the limit."""
    assert_refused(
        server, b"GET /health HTTP/1.1\r\nhost: a\r\n" + fields + b"\r\n\r\n", 431, "header_too_large"
    )


def test_a_head_without_end_is_refused_at_the_limit(server: Live) -> None:
    """431 as soon as it is passed."""
    assert_refused(server, b"GET /" + b"a" * 10 * HEADER_BYTES, 431, "header_too_large")


def test_a_second_request_before_the_answer_is_dropped(server: Live) -> None:
    """One answer, and the connection ends: nothing hides behind a request."""
    answer = server.ask(post(PATH, BODY) + post(PATH, BODY))
    assert (answer.status, answer.count) == (200, 1)
    assert b"connection: close" in answer.content


def test_a_connection_is_used_again(server: Live) -> None:
    """One request after the other, also after a refusal that came before the body."""
    wire = server.wire(post(PATH, BODY))
    assert wire.next_status() == 200
    nowhere = post("/nowhere", BODY)
    assert wire.send(nowhere[:-5]).next_status() == 404
    assert wire.send(nowhere[-5:], post(PATH, BODY)).next_status() == 200
    wire.socket.close()


def test_a_refused_body_does_not_hold_the_connection(server: Live) -> None:
    """What is left of a body after the answer has two seconds, not for ever."""
    started = time.monotonic()
    answer = server.ask(post("/nowhere", b"", length=5000))
    assert answer.status == 404
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused_before_it_is_there(server: Live, chunked: bool) -> None:
    """413, also when the length is not announced; the client gets to read it."""
    if chunked:
        head = post(PATH, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
        wire = server.wire(head, b"1000\r\n" + b" " * 4096 + b"\r\n", b"2000\r\n" + b" " * 8192 + b"\r\n")
    else:
        wire = server.wire(post(PATH, b"", length=10**12))
    answer = wire.answer()
    assert answer.status == 413
    assert answer.error["code"] == "body_too_large"


def test_a_body_in_tiny_chunks_is_refused(server: Live) -> None:
    """Each chunk costs more than hundreds of bytes: 400 long before the body's limit."""
    head = post(PATH, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    answer = server.ask(head, b"1\r\n \r\n" * 5000)
    assert answer.status == 400
    assert (
        server.ask(head.replace(b"host: test", b"host: test\r\nconnection: close"), _chunked(BODY, 7)).status
        == 200
    )


def _chunked(body: bytes, size: int) -> bytes:
    """The body in chunks."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_large_body_is_not_asked_for(server: Live) -> None:
    """Expect: 100-continue gets 413 at once instead of 100 (RFC 9110, 10.1.1)."""
    answer = server.ask(post(PATH, b"", b"expect: 100-continue", length=10**9))
    assert answer.status == 413


def test_a_body_that_is_expected_is_asked_for(server: Live) -> None:
    """Expect: 100-continue gets 100."""
    wire = server.wire(post(PATH, b"", b"expect: 100-continue", b"connection: close", length=len(BODY)))
    assert b"100" in wire.socket.recv(100)
    assert wire.send(BODY).answer().status == 200


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate", b"zstd", b"gzip, identity"])
def test_a_compressed_body_is_refused(server: Live, coding: bytes) -> None:
    """415: no bomb is ever unpacked."""
    answer = server.ask(post(PATH, BODY, b"content-encoding: " + coding, b"connection: close"))
    assert answer.status == 415


def test_idle_connections_never_take_the_places_of_others(server: Live) -> None:
    """Far more than there are places, again and again: an honest client is served meanwhile."""
    held: list[Wire] = []
    for number in range(4 * PLACES):
        held.append(server.wire(list(SLOW.values())[number % len(SLOW)]))
        if number % PLACES == PLACES - 1:
            assert server.serves()
    for wire in held:
        wire.socket.close()


def test_websockets_are_not_spoken(server: Live) -> None:
    """The upgrade is ignored, as RFC 9110 (7.8) allows."""
    request = b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close, upgrade\r\nupgrade: websocket\r\n\r\n"
    assert server.ask(request).status == 200


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(server: Live, method: str) -> None:
    """405 where there is something, 404 where there is nothing."""
    assert httpx.request(method, f"{server.url}/health").status_code == 405


def test_an_idle_connection_ends_without_being_counted_as_refused(tmp_path: Path) -> None:
    """After its time it is closed; those that never speak are counted."""
    with live(tmp_path, idle_timeout_s=0.3, receive_timeout_s=0.3) as server:
        wire = server.wire(post(PATH, BODY))
        assert wire.next_status() == 200
        assert wire.answer().content == b""
        metrics = httpx.get(f"{server.url}/metrics").text
        assert 'genesis_refused_connections_total{reason="timeout"} 0.0' in metrics
        assert server.ask(b"").content == b""
        metrics = httpx.get(f"{server.url}/metrics").text
        assert 'genesis_refused_connections_total{reason="timeout"} 1.0' in metrics


def test_a_second_request_amid_an_answer_is_dropped(tmp_path: Path) -> None:
    """The stream goes on to its end; then the connection ends, though the answer had not said so."""
    with live(tmp_path, behaviour="slow") as server:
        wire = server.wire(post(PATH, json.dumps(CHAT | {"stream": True}).encode()))
        begun = wire.socket.recv(65536)
        answer = wire.send(post(PATH, BODY)).answer()
        assert b"connection: close" not in begun
        assert b"[DONE]" in answer.content
        assert answer.count == 0
