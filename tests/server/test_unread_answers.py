"""A client that does not read its answer loses it, and holds no slot of the engine meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from live import CHAT, Live, Wire, live, post
from waiting import until

REQUEST = post("/v1/chat/completions", json.dumps(CHAT | {"stream": True}).encode())


def running(server: Live) -> bool:
    """Whether the engine works on a request."""
    return "llamacpp:requests_processing 1.0" in httpx.get(f"{server.url}/metrics").text


@pytest.mark.parametrize(
    "bounds",
    [
        {"write_timeout_s": 0.5, "max_unread_bytes": 10**9},
        {"write_timeout_s": 60.0, "max_unread_bytes": 200_000},
    ],
    ids=["for too long", "too much"],
)
def test_who_does_not_read_frees_the_engine(tmp_path: Path, bounds: dict[str, float]) -> None:
    """Whichever bound is passed first: the time without reading, or the bytes that wait."""
    with live(tmp_path, behaviour="floods", **bounds) as server:
        httpx.get(f"{server.url}/v1/models").raise_for_status()
        wire = Wire(server.address)
        wire.send(REQUEST)
        until(lambda: running(server), "the request")
        until(lambda: not running(server), "its end", seconds=10)
        wire.socket.close()
        assert "Traceback" not in server.log.read_text()


def test_who_reads_slowly_is_told_that_it_was_too_much(tmp_path: Path) -> None:
    """What is left of the answer ends with an error event."""
    with live(tmp_path, behaviour="floods", max_unread_bytes=200_000) as server:
        wire = Wire(server.address)
        wire.send(REQUEST)
        until(lambda: running(server), "the request")
        until(lambda: not running(server), "its end", seconds=10)
        received = bytearray()
        until(lambda: received.extend(wire.socket.recv(65536)) or b"unread" in received, "the reason")
        wire.socket.close()
