"""Whatever bytes arrive on a connection, the server survives them and serves the next client."""

from __future__ import annotations

import json
import re
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import CHAT, Live, live, post

BODY = json.dumps(CHAT).encode()
CHUNKED = b"\r\n".join(
    [
        b"POST /tokenize HTTP/1.1",
        b"host: a",
        b"content-type: application/json",
        b"transfer-encoding: chunked",
        b"",
        b"d",
        b'{"content":""',
        b"1",
        b"}",
        b"0",
        b"",
        b"",
    ]
)
WHOLE = [
    post("/v1/chat/completions", BODY),
    post("/v1/completions", b'{"model":"scripted","prompt":[1,2]}', b"expect: 100-continue"),
    post("/v1/chat/completions", json.dumps(CHAT | {"stream": True}).encode()),
    CHUNKED,
    b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n",
]
FRAGMENTS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b":",
        b" ",
        b"\t",
        b"0\r\n\r\n",
        b"\xff\xfe",
        b"%00",
        b"%ff",
        b"//",
        b"..;/",
    ),
    *(b"content-length: 9\r\n", b"content-length: -1\r\n", b"transfer-encoding: chunked\r\n", b"host: b\r\n"),
    *(
        b"connection: close\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\n",
        b"HTTP/1.0",
        b"HTTP/9.9",
        b"CONNECT",
    ),
    *(b"authorization: Bearer \xc3\xa9\r\n", b"signature: a=:?:\r\n", b"signature-input: a=();created=x\r\n"),
    *(
        b"content-digest: sha-256=:x\r\n",
        b"traceparent: 00-zz\r\n",
        b"origin: http://[::\r\n",
        b"x-request-id: \x7f\r\n",
    ),
    *(b"http://[", b"*", b"?" * 50, b"a" * 300, b'{"a":' * 50, b"\\ud800", b"1e999", b"NaN"),
]


@st.composite
def hostile(draw: st.DrawFn) -> list[bytes]:
    """A request with some of its bytes replaced, cut into packets; or bytes from nowhere."""
    content = bytearray(draw(st.sampled_from(WHOLE) | st.binary(max_size=200)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 12)))
        content[start:end] = draw(st.sampled_from(FRAGMENTS) | st.binary(max_size=8))
    cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=3)))
    return [bytes(content[start:end]) for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    """A server whose patience is short."""
    with live(tmp_path_factory.mktemp("fuzz"), receive_timeout_s=0.3, idle_timeout_s=0.3) as server:
        yield server


def survives(server: Live, requests: list[list[bytes]]) -> None:
    """All of them at the same time, and then an honest one."""
    wires = [server.wire(*packets) for packets in requests]
    for packets, wire in zip(requests, wires, strict=True):
        statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", wire.answer().content)
        assert not [status for status in statuses if status >= b"500"], packets
    assert server.serves()
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "unexpected" not in log


SEARCH = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


@settings(SEARCH, max_examples=5)
@given(requests=st.lists(hostile(), min_size=25, max_size=40))
def test_any_bytes_are_survived(server: Live, requests: list[list[bytes]]) -> None:
    """No 5xx, no exception in the log, and the next honest request is answered."""
    survives(server, requests)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(SEARCH, max_examples=300)
@given(requests=st.lists(hostile(), min_size=25, max_size=40))
def test_so_are_many_more(server: Live, requests: list[list[bytes]]) -> None:
    """The same for longer."""
    survives(server, requests)
