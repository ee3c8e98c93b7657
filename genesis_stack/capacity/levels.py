"""The server under more and more users who never pause, each level judged by the stack's own promises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from genesis_stack.capacity.serving import Bench
from genesis_stack.capacity.tuning import Tuned
from genesis_stack.loadtest.gate import STATISTICS, Check, judge, kept
from genesis_stack.loadtest.record import Record
from genesis_stack.loadtest.run import run_load
from genesis_stack.loadtest.setting import read_setting

USERS: Final = (1, 2, 4, 8, 16)
PROMPT_TOKENS: Final = 48
"""Of the questions that are asked, about, with their chat template."""
LEAST_ANSWERS: Final = 5
"""With fewer no promise is judged; see `gate`."""
ATTEMPTS: Final = 4
ROUNDS: Final = 3
"""Answers of each user that a level lasts for, about."""
SHORTEST: Final = 3.0
LONGEST: Final = 60.0
"""Seconds of a level; between them it gets its share of the time that is left."""
AROUND: Final = 5.0
"""Seconds of a level in which nobody asks: Locust starts and ends."""


@dataclass(frozen=True, slots=True)
class Level:
    """What so many users got. Times in seconds; None where nothing was measured.

    `total` is tokens a second of all together, `of_one` those of one answer after its first token.
    """

    users: int
    requests: int
    failed: int
    total: float
    of_one: float | None
    ttft_p95: float | None
    latency_p95: float | None
    itl_p99: float | None
    checks: tuple[Check, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise of the stack held."""
        return kept(self.checks)


def measure_levels(
    bench: Bench, tuned: Tuned, *, deadline: float, tokens: int, say: Callable[[str], None]
) -> Iterator[Level]:
    """One level after another, until all are measured or the next one would end beyond the deadline.

    The first is always measured. `deadline` is by the monotonic clock, `tokens` is the longest answer.
    """
    for at, users in enumerate(USERS):
        answer = _answer_seconds(tuned, users, tokens)
        least = max(answer * max(ROUNDS, LEAST_ANSWERS / users), SHORTEST)
        room = deadline - time.monotonic() - 2 * answer - AROUND
        if users > 1 and least > room:
            say(f"no time is left for {users} users and more")
            return
        share = min(room / (len(USERS) - at), LONGEST)
        yield _level(bench, users, max(least, share), tokens, say)


def _answer_seconds(tuned: Tuned, users: int, tokens: int) -> float:
    """How long one answer takes about, by what llama.cpp reached; those who wait for a place included."""
    turns = -(-users // tuned.engine.parallel)
    reading = PROMPT_TOKENS * min(users, tuned.engine.parallel) / tuned.single.prefill
    return turns * (reading + tokens * min(users, tuned.engine.parallel) / tuned.total_at(users))


def _level(bench: Bench, users: int, duration: float, tokens: int, say: Callable[[str], None]) -> Level:
    """Measured for longer where the server, or a busy machine, gave too few answers to judge by."""
    for attempt in range(ATTEMPTS):
        seconds = duration * 2**attempt
        say(f"{users} users for {seconds:.0f} s" if users > 1 else f"1 user for {seconds:.0f} s")
        level = _measure(bench, users, seconds, tokens)
        if level.requests >= LEAST_ANSWERS:
            break
    return level


def _measure(bench: Bench, users: int, duration: float, tokens: int) -> Level:
    profile: dict[str, Any] = {
        "users": users,
        "duration": duration,
        "warm_up": 0,
        "spawn_rate": float(users),
        "think_time": 0,
        "max_tokens": tokens,
        "tasks": {"stream": 1},
        "least_requests": LEAST_ANSWERS,
    }
    bench.write(profile)
    setting = read_setting(bench.file, "bench")
    record = run_load(bench.file, setting)
    return _seen(record, users, judge(record, setting.stack, setting.profile))


def _seen(record: Record, users: int, checks: tuple[Check, ...]) -> Level:
    (model,) = record.models
    samples = record.measured(model)
    answered = [one for one in samples if one.error is None]
    span = max((one.started + one.seconds for one in answered), default=0.0)
    span -= min((one.started for one in answered), default=0.0)
    figures = {name: statistic.of(answered)[0] for name, statistic in STATISTICS.items()}
    return Level(
        users=users,
        requests=len(samples),
        failed=len(samples) - len(answered),
        total=sum(one.tokens for one in answered) / span if span > 0 else 0.0,
        of_one=figures["tokens_per_second"],
        ttft_p95=figures["ttft_p95"],
        latency_p95=figures["latency_p95"],
        itl_p99=figures["itl_p99"],
        checks=checks,
    )
