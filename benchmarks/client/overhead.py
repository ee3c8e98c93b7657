"""What a call, a streamed token and a signature cost over raw httpx, in one run on one stand-in server.

    python -m benchmarks.client.overhead

The stand-in answers at once, from a process of its own, so what is left is the client's time. Raw httpx does
what a careful program would do by hand: one pool, JSON, and for streams the lines of the events, parsed.
The two take turns, and the median of the differences counts, so that noise hits both. Processor time stands
beside it: it says the same on a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from genesis_stack.client import LocalLLMClient, SignatureAuth
from genesis_stack.protocol.keys import ClientKey

TOKENS = 500
LIMITS = {"call_us": 1000.0, "token_us": 20.0, "signature_us": 300.0}
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 5}


@dataclass(frozen=True)
class Cost:
    """Microseconds: raw httpx, what the client takes on top, and how much of that the processor worked."""

    raw: float
    overhead: float
    processor: float


async def main() -> int:
    """Measure, print JSON, and say whether the limits hold."""
    parser = argparse.ArgumentParser(prog="benchmarks.client.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    argv = [sys.executable, "-m", "benchmarks.client.answering"]
    server = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    try:
        url = (await server.stdout.readline()).decode().strip() if server.stdout else ""
        async with (
            httpx.AsyncClient(trust_env=False, timeout=600) as http,
            LocalLLMClient(endpoints=[{"url": url, "model": "m"}]) as client,
        ):
            call = await _compared(lambda: _raw_call(http, url), lambda: _call(client), rounds)
            streams = max(20, rounds // 5)
            stream = await _compared(lambda: _raw_stream(http, url), lambda: _stream(client), streams)
    finally:
        server.terminate()
        await server.wait()
    figures = {
        "call_us": call.overhead,
        "token_us": (stream.overhead - call.overhead) / TOKENS,
        "signature_us": _signature(url),
    }
    report = {
        "raw_call_us": call.raw,
        "raw_token_us": stream.raw / TOKENS,
        **figures,
        "call_processor_us": call.processor,
        "token_processor_us": (stream.processor - call.processor) / TOKENS,
    }
    rounded = {name: round(value, 1) for name, value in report.items()}
    print(json.dumps({**rounded, "limits": LIMITS}, indent=2))
    return int(any(figures[name] > limit for name, limit in LIMITS.items()))


async def _compared(
    raw: Callable[[], Awaitable[None]], ours: Callable[[], Awaitable[None]], rounds: int
) -> Cost:
    for _ in range(20):
        await raw()
        await ours()
    pairs = [(await _timed(raw), await _timed(ours)) for _ in range(rounds)]
    return Cost(
        statistics.median(raw_wall for (raw_wall, _), _ in pairs),
        statistics.median(wall - raw_wall for (raw_wall, _), (wall, _) in pairs),
        statistics.median(cpu - raw_cpu for (_, raw_cpu), (_, cpu) in pairs),
    )


async def _timed(run: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Microseconds by the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    await run()
    return (time.perf_counter() - wall) * 1e6, (time.process_time() - cpu) * 1e6


async def _raw_call(http: httpx.AsyncClient, url: str) -> None:
    response = await http.post(f"{url}/v1/chat/completions", json=BODY)
    response.raise_for_status()
    _expect(response.json()["choices"][0]["message"]["content"] == "Hello.")


async def _call(client: LocalLLMClient) -> None:
    _expect((await client.complete_text("Hi.", max_tokens=5)).text == "Hello.")


async def _raw_stream(http: httpx.AsyncClient, url: str) -> None:
    text = []
    async with http.stream("POST", f"{url}/v1/chat/completions", json={**BODY, "stream": True}) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                choices = json.loads(line[6:])["choices"]
                if choices:
                    text.append(choices[0]["delta"].get("content") or "")
    _expect("".join(text) == " token" * TOKENS)


async def _stream(client: LocalLLMClient) -> None:
    text = []
    async with client.stream("Hi.", max_tokens=5) as stream:
        async for chunk in stream:
            text.append(chunk.text)  # noqa: PERF401 -- as the raw loop does
    _expect("".join(text) == " token" * TOKENS)


def _expect(condition: bool) -> None:
    if not condition:
        raise SystemExit("the stand-in answered something else")


def _signature(url: str) -> float:
    """Microseconds of signing one request with a body of 4 KB."""
    auth = SignatureAuth(ClientKey.generate().text)
    body = json.dumps({**BODY, "messages": [{"role": "user", "content": "x" * 4096}]}).encode()
    times = []
    for _ in range(300):
        request = httpx.Request("POST", f"{url}/v1/chat/completions", content=body)
        started = time.perf_counter()
        auth(request)
        times.append((time.perf_counter() - started) * 1e6)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
