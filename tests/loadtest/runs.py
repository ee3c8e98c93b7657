"""Runs that never were: what they measured is made up, seeded."""

from __future__ import annotations

import random

from genesis_stack.loadtest.record import Reading, Record, Sample

MODEL = "smol"


def run_of(
    seed: int, requests: int = 200, *, slower: float = 1.0, failed: int = 0, began: tuple[float, ...] = (1.0,)
) -> Record:
    """A run whose times vary by chance, and are `slower` times as long as usual; the last requests failed."""
    chance = random.Random(seed)
    samples = []
    for at in range(requests):
        ttft = slower * chance.lognormvariate(-2, 0.3)
        gaps = tuple(slower * chance.lognormvariate(-4, 0.3) for _ in range(15))
        error = "500" if at >= requests - failed else None
        samples.append(
            Sample(
                model=MODEL,
                task="stream",
                started=100.0 + at,
                seconds=ttft + sum(gaps),
                error=error,
                ttft=ttft,
                gaps=gaps,
                tokens=16,
            )
        )
    return Record(
        stack="loaded",
        profile="steady",
        models=(MODEL,),
        started=90.0,
        seconds=requests + 10.0,
        warm_up=10.0,
        generator_cpu=0.02,
        crowds=(),
        samples=tuple(samples),
        readings=tuple(_reading(at, moment) for at, moment in enumerate(began)),
    )


def _reading(at: float, began: float) -> Reading:
    figures = {"memory": 1.0, "budget": 2.0, "running": 1.0, "waiting": 0.0}
    return Reading(at=90.0 + at, model=MODEL, server="http://127.0.0.1:1", began=began, **figures)
