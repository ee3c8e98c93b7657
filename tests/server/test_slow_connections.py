"""Two hundred slow connections fail no honest client; benchmarks/slow_connections measures what they cost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Semaphore

import httpx
from live import CHAT, Live, live, post

HALVES = (
    b"",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx: ",
    post("/v1/chat/completions", b"{", length=500),
)
CONNECTIONS = 200
CLIENTS = 4
ROUNDS = 3


def streams(server: Live, begun: Semaphore) -> list[bool]:
    """Whether each of several answers, one after the other, came to its end; `begun` is told of each."""
    ended = []
    with httpx.Client(timeout=20) as client:
        for _ in range(ROUNDS):
            with client.stream(
                "POST", f"{server.url}/v1/chat/completions", json=CHAT | {"stream": True}
            ) as answer:
                lines = answer.iter_lines()
                first = next(lines)
                begun.release()
                ended.append("data: [DONE]" in [first, *lines])
    return ended


def test_slow_connections_fail_no_honest_client(tmp_path: Path) -> None:
    """More of them than places: the idle make room, those that stream stay, and newcomers are let in."""
    with live(tmp_path, behaviour="slow", max_connections=100, receive_timeout_s=2.0) as server:
        assert server.serves()
        with ThreadPoolExecutor() as pool:
            begun = Semaphore(0)
            honest = [pool.submit(streams, server, begun) for _ in range(CLIENTS)]
            assert all(begun.acquire(timeout=20) for _ in range(CLIENTS))
            slow = [server.wire(HALVES[number % len(HALVES)]) for number in range(CONNECTIONS)]
            assert [client.result() for client in honest] == [[True] * ROUNDS] * CLIENTS
            statuses = {wire.answer().status for wire in slow}
        assert statuses <= {0, 408}
        assert "Traceback" not in server.log.read_text()
