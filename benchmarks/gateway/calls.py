"""Calls that are timed one by one, and clients that ask again as soon as they are answered."""

from __future__ import annotations

import asyncio
import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.gateway.stand import MODEL

PATH: Final = "/v1/chat/completions"
SYSTEM: Final = "You answer in one sentence, in plain words, and you say so when you do not know. " * 12
"""As long as a usual system prompt, about 1 KB."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Milliseconds a request: straight to the server, and what the gateway adds."""

    direct_p50: float
    added_p50: float
    added_p95: float


def overhead(gateway: int, server: int, rounds: int) -> Overhead:
    """Each round asks both, in turns that begin with either, on connections that stay open."""
    body = json.dumps(chat("", 1)).encode()
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for port in (server, gateway)]
    for _ in range(50):
        for connection in connections:
            timed(connection, body)
    direct, added = [], []
    for number in range(rounds):
        pair = {}
        for index in (0, 1) if number % 2 else (1, 0):
            pair[index] = timed(connections[index], body)
        direct.append(pair[0])
        added.append(pair[1] - pair[0])
    for connection in connections:
        connection.close()
    hundredths = statistics.quantiles(added, n=100)
    return Overhead(
        *(round(1e3 * value, 3) for value in (statistics.median(direct), hundredths[49], hundredths[94]))
    )


def timed(connection: http.client.HTTPConnection, body: bytes) -> float:
    """Seconds of one call."""
    fields = {"Content-Type": "application/json", "Authorization": "Bearer gk_of_a_benchmark"}
    start = time.perf_counter()
    connection.request("POST", PATH, body, fields)
    answer = connection.getresponse()
    answer.read()
    seconds = time.perf_counter() - start
    if answer.status != http.client.OK:
        raise RuntimeError(f"{answer.status} instead of an answer")
    return seconds


def chat(beginning: str, tokens: int, **more: Any) -> dict[str, Any]:
    """A chat of so many tokens whose prompt begins like this."""
    messages = [{"role": "system", "content": beginning + SYSTEM}, {"role": "user", "content": "Go on."}]
    return {"messages": messages, "max_tokens": tokens, "model": MODEL, **more}


async def throughput(
    gateway: int, clients: int, beginning: Callable[[int], str], *, tokens: int, seconds: float
) -> float:
    """Tokens a second of so many clients, each of which asks again at once; the first answers do not count.

    `beginning` says for the number of a request how its prompt begins.
    """
    numbers = iter(range(1_000_000_000))
    counted = 0
    counting = False

    async def ask() -> None:
        nonlocal counted
        while True:
            body = json.dumps(chat(beginning(next(numbers)), tokens, stream=True)).encode()
            async for events in streamed(gateway, body):
                counted += events if counting else 0

    asking = [asyncio.create_task(ask()) for _ in range(clients)]
    await asyncio.sleep(seconds / 4)
    counting, start = True, time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - start
    for one in asking:
        one.cancel()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    for failed in failures(outcomes):
        raise failed
    return counted / took


def failures(outcomes: list[BaseException]) -> Iterator[BaseException]:
    """What ended a client that was not told to end."""
    yield from (one for one in outcomes if not isinstance(one, asyncio.CancelledError))


async def streamed(port: int, body: bytes) -> Any:
    """The number of tokens in each piece of an answer, as it comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    try:
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(f"{status!r} instead of an answer")
        while line := await reader.readline():
            if b'"token"' in line:
                yield 1
    finally:
        writer.close()
