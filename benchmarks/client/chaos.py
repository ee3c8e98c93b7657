"""Chaos: a real server is killed and started again under load, and every request must end in order.

    python -m benchmarks.client.chaos --gguf SmolLM2.gguf --minutes 10 --kills 20

Several workers ask without a pause, whole and streamed, through one client. Every request must be answered
or fail with an error of the library, within its deadline; at the end no socket and no task may be left.
Exit code 0 if so, 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from client.live_server import MODEL, LiveServer
from genesis_stack.client import LocalLLMClient, LocalLLMError, StreamInterruptedError

DEADLINE = 20.0
LATE = 1.0
"""Seconds beyond its deadline from which a request counts as hanging."""


@dataclass
class Tally:
    """What became of the requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    unhandled: list[str] = field(default_factory=list)
    late: int = 0
    repeated: int = 0
    slowest: float = 0.0

    def note(self, outcome: str, seconds: float) -> None:
        """One request has ended."""
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, seconds)
        self.late += seconds > DEADLINE + LATE


async def main() -> int:
    """Run and report."""
    arguments = _parser().parse_args()
    tasks, sockets = asyncio.all_tasks(), _sockets()
    with tempfile.TemporaryDirectory() as scratch:
        server = LiveServer(Path(scratch), arguments.gguf)
        server.prepare()
        server.start()
        await asyncio.to_thread(server.until_ready)
        tally, kills = Tally(), 0
        try:
            kills = await _storm(server, tally, arguments)
        finally:
            server.kill()
    gc.collect()
    await asyncio.sleep(0.5)
    report = {
        "minutes": arguments.minutes,
        "kills": kills,
        "requests": sum(tally.outcomes.values()),
        "outcomes": dict(tally.outcomes.most_common()),
        "slowest_seconds": round(tally.slowest, 2),
        "beyond_the_deadline": tally.late,
        "streams_that_said_something_twice": tally.repeated,
        "unhandled_exceptions": tally.unhandled,
        "leaked_sockets": max(0, _sockets() - sockets),
        "leaked_tasks": len(asyncio.all_tasks() - tasks),
    }
    print(json.dumps(report, indent=2))
    wrong = ("beyond_the_deadline", "streams_that_said_something_twice", "unhandled_exceptions")
    return int(any(report[name] for name in (*wrong, "leaked_sockets", "leaked_tasks")))


async def _storm(server: LiveServer, tally: Tally, arguments: argparse.Namespace) -> int:
    """Load and kills until the time is up; the number of kills."""
    config = {
        "endpoints": [{"url": server.url, "model": MODEL}],
        "api_key": server.key,
        "breaker": {"failures": 5, "open_for": arguments.open_for},
        "timeouts": {"deadline": DEADLINE, "between_tokens": 10},
    }
    end = time.monotonic() + arguments.minutes * 60
    async with LocalLLMClient(**config) as client:
        workers = [
            asyncio.create_task(_ask(client, tally, end, number)) for number in range(arguments.workers)
        ]
        kills = await _kill(server, end, arguments.kills)
        await asyncio.gather(*workers)
    return kills


async def _kill(server: LiveServer, end: float, kills: int) -> int:
    """Kill the server at even intervals, and start it again a second later."""
    pause = (end - time.monotonic()) / (kills + 1)
    for _ in range(kills):
        await asyncio.sleep(max(0.0, pause - 1))
        server.kill()
        await asyncio.sleep(1)
        server.start()
    return kills


async def _ask(client: LocalLLMClient, tally: Tally, end: float, number: int) -> None:
    """Ask until the time is up: every second request streams, every fifth is given up half way."""
    turn = number
    while time.monotonic() < end:
        turn += 1
        started = time.monotonic()
        try:
            outcome = await (_streamed(client, tally, turn) if turn % 2 else _whole(client, turn))
        except StreamInterruptedError as failure:
            tally.repeated += failure.partial.origin.attempts > 3
            outcome = type(failure).__name__
        except LocalLLMError as failure:
            outcome = type(failure).__name__
            await asyncio.sleep(0.2)  # an open circuit answers at once: do not count it a thousand times
        except Exception as failure:  # noqa: BLE001 -- the one thing that must not happen
            tally.unhandled.append(repr(failure)[:200])
            outcome = "unhandled"
        tally.note(outcome, time.monotonic() - started)


async def _whole(client: LocalLLMClient, turn: int) -> str:
    answer = await client.complete_text(f"Tell me about the number {turn}.", max_tokens=24)
    return "answered" if answer.usage.completion_tokens else "empty"


async def _streamed(client: LocalLLMClient, tally: Tally, turn: int) -> str:
    """The pieces must be the whole, no more and no less."""
    pieces = []
    async with client.stream(f"Count from {turn}.", max_tokens=24) as stream:
        async for chunk in stream:
            pieces.append(chunk.text)
            if turn % 5 == 0 and len(pieces) > 5:
                return "left early"
    tally.repeated += "".join(pieces) != stream.result.text
    tally.repeated += stream.result.usage.completion_tokens > 24
    return "streamed"


def _sockets() -> int:
    """Sockets of this process."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(entry).startswith("socket:")  # noqa: PTH115 -- what it names is no path
        except FileNotFoundError:
            continue
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.client.chaos", description=__doc__)
    parser.add_argument("--gguf", type=Path, required=True, help="SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--open-for", type=float, default=60.0, help="seconds of an open circuit")
    return parser


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
