"""Calls to one server, a block of equal ones at a time, and what a block takes on the wall and of the CPU."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from benchmarks.serving.running import Server
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.protocol.signature import CLOCK_SKEW
from genesis_stack.protocol.signing import Head, sign

PATH: Final = "/v1/completions"
PROMPT: Final = (
    "The harbour master keeps a log of every ship that comes in, with its flag, its cargo and the hour of"
    " its arrival. On a day in late autumn the wind turned to the north and three of them had to wait. "
) * 3
"""As long as a usual chat with its system prompt, so that the guard has something to read."""

SPANS_LEAVE_MS: Final = 100
"""After so long a server hands its spans over; five seconds by default, which no block lasts."""
_SETTLED_S: Final = SPANS_LEAVE_MS / 1e3 + 0.05
"""What a server does after its last answer counts too."""


class Side(StrEnum):
    """What a server has switched on."""

    OFF = "off"  # nobody is asked for a key, nothing is written
    USUAL = "usual"  # a Bearer key, limits, the guard, the audit record, a log line
    ALL = "all"  # the same with a signature instead of the key, and with spans


@dataclass(frozen=True, slots=True)
class Block:
    """Seconds on the wall of each request, and of the CPU outside of the engine on the average."""

    walls: tuple[float, ...]
    cpu: float

    @property
    def wall(self) -> float:
        """The median."""
        return statistics.median(self.walls)


class Caller:
    """Calls one server as its side wants it; requests are signed before the clock runs."""

    def __init__(self, server: Server, side: Side, key: ClientKey, engine_threads: int) -> None:
        self._server = server
        self._side = side
        self._key = key
        self._engine_threads = engine_threads
        self._engine: frozenset[str] = frozenset()

    def warm_up(self) -> None:
        """Fill the prefix cache, wait until signatures are believed, and tell the engine's threads apart.

        They are those that have used the most CPU: everything else is the server's.
        """
        end = time.monotonic() + CLOCK_SKEW + 30
        while (status := self._send(*self._prepared(1))) != http.client.OK:
            if time.monotonic() > end:
                raise RuntimeError(f"the server answers {status}")
            time.sleep(0.5)
        self._send(*self._prepared(8))
        used = self._threads()
        busiest = sorted(used, key=lambda thread: used[thread], reverse=True)
        self._engine = frozenset(busiest[: self._engine_threads])

    def block(self, tokens: int, requests: int) -> Block:
        """So many streamed completions of exactly so many tokens, one after another."""
        prepared = [self._prepared(tokens) for _ in range(requests)]
        before = self._own_cpu()
        walls = []
        for fields, body in prepared:
            start = time.perf_counter()
            status = self._send(fields, body)
            walls.append(time.perf_counter() - start)
            if status != http.client.OK:
                raise RuntimeError(f"the server answers {status}")
        time.sleep(_SETTLED_S)
        return Block(tuple(walls), (self._own_cpu() - before) / requests)

    def _prepared(self, tokens: int) -> tuple[dict[str, str], bytes]:
        body = json.dumps(
            {
                "model": "benchmark",
                "prompt": PROMPT,
                "max_tokens": tokens,
                "ignore_eos": True,
                "temperature": 0,
                "stream": True,
            }
        ).encode()
        fields = {"Content-Type": "application/json"}
        if self._side is Side.USUAL:
            fields["Authorization"] = f"Bearer {self._key.text}"
        elif self._side is Side.ALL:
            head = Head("POST", f"127.0.0.1:{self._server.port}".encode(), PATH.encode())
            fields |= sign(head, body, key_id=self._key.id, secret=self._key.signing_secret)
        return fields, body

    def _send(self, fields: dict[str, str], body: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=300)
        try:
            connection.request("POST", PATH, body, fields)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def _own_cpu(self) -> float:
        threads = self._threads()
        return sum(seconds for thread, seconds in threads.items() if thread not in self._engine)

    def _threads(self) -> dict[str, float]:
        """CPU seconds of each thread, from /proc/PID/task/TID/schedstat, which counts nanoseconds.

        proc(5)'s utime and stime count hundredths of a second: too coarse for a request.
        """
        tasks = Path("/proc", str(self._server.pid), "task")
        return {task.name: int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks.iterdir()}
