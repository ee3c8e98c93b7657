"""The gateway's overhead, and the throughput of three hosts behind it.

    python -m benchmarks.gateway

Overhead: a server that answers at once is asked directly and through the gateway in turns; the median of the
differences counts. The gateway has three replicas, affinity and a limit by key: all that it may have to do.

Throughput: one machine has not the cores of three, so servers are modelled. Each is a process whose slots
emit a token at a fixed pace, by the clock instead of by computing; a slot is busy for as long as its answer
takes, and what finds no free slot waits. So a host has exactly the throughput of its slots, hosts do not
take each other's, and what is lost is lost by the gateway's choices. HAProxy and its configuration are real.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from benchmarks.gateway.calls import overhead, throughput
from benchmarks.gateway.stand import hosts

SLOTS: Final = 4
PACE: Final = 0.05
TOKENS: Final = 20
BEGINNINGS: Final = 30
MOST_ADDED_MS: Final = 1.0
LEAST_SPEED_UP: Final = 2.7
CLIENTS: Final = {"me": {"models": ["a"], "requests_per_minute": 1_000_000}}


@dataclass(frozen=True, slots=True)
class Row:
    """One mix of requests: its name, clients a slot, affinity, and in how many ways prompts begin."""

    name: str
    per_slot: int
    affinity: bool
    beginnings: int


ROWS: Final = (
    Row("least outstanding", 2, affinity=False, beginnings=BEGINNINGS),
    Row("affinity, 30 beginnings", 2, affinity=True, beginnings=BEGINNINGS),
    Row("affinity, all begin alike", 2, affinity=True, beginnings=1),
    Row("affinity, 30 beginnings, no client waits", 1, affinity=True, beginnings=BEGINNINGS),
)


async def _overhead(rounds: int) -> dict[str, float]:
    async with hosts(3, 8, 0.0, clients=CLIENTS) as (gateway, ports):
        return asdict(await asyncio.to_thread(overhead, gateway, ports[0], rounds))


async def _tokens_per_second(row: Row, count: int, seconds: float) -> float:
    async with hosts(count, SLOTS, PACE, gateway={"affinity": row.affinity}) as (gateway, _):
        return await throughput(
            gateway,
            row.per_slot * SLOTS * count,
            lambda number: f"You are number {number % row.beginnings}. ",
            tokens=TOKENS,
            seconds=seconds,
        )


async def main() -> int:
    """Measure, print JSON, and say whether the limits hold."""
    parser = argparse.ArgumentParser(prog="benchmarks.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=6.0)
    asked = parser.parse_args()
    cost = await _overhead(asked.rounds)
    rows = []
    for row in ROWS:
        one, three = [await _tokens_per_second(row, count, asked.seconds) for count in (1, 3)]
        rows.append(
            {"mix": row.name, "one": round(one, 1), "three": round(three, 1), "times": round(three / one, 2)}
        )
    held = cost["added_p50"] < MOST_ADDED_MS and all(
        found["times"] >= LEAST_SPEED_UP for found, row in zip(rows, ROWS, strict=True) if row.per_slot > 1
    )
    content = {"schema_version": 1, "load": os.getloadavg()[0], "overhead_ms": cost, "throughput": rows}
    sys.stdout.write(json.dumps({**content, "held": held}, indent=2) + "\n")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
