"""What was measured, and what it means for the promises of the stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from genesis_stack.capacity.bandwidth import Bandwidth
from genesis_stack.capacity.levels import PROMPT_TOKENS, Level
from genesis_stack.capacity.subject import Subject
from genesis_stack.capacity.tuning import Tuned
from genesis_stack.spec.model import Slo

GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Need:
    """One promise beside what a single user gets, and what it would take; `held` is None if nobody knows."""

    promise: str
    promised: float
    measured: float | None
    unit: str
    held: bool | None
    takes: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that one bench found out about one model.

    `load_average` is how many processors others used in the minute before, about (proc_loadavg(5)).
    """

    subject: Subject
    bandwidth: Bandwidth
    tuned: Tuned
    levels: tuple[Level, ...]
    load_average: float

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights."""
        return self.subject.facts.tensor_bytes

    @property
    def weights_read(self) -> float:
        """Bytes of weights a second that decoding for one user reads: each token reads all of them."""
        return self.tuned.single.decode * self.weight_bytes

    @property
    def bandwidth_ratio(self) -> float:
        """How much of the memory's bandwidth that is; small models stay in the cache and can exceed it."""
        return self.weights_read / self.bandwidth.bytes_per_second

    @property
    def users(self) -> int:
        """Users without a pause for whom every promise held, as it did for all fewer ones that were tried."""
        fitting = 0
        for level in self.levels:
            if not level.kept:
                break
            fitting = level.users
        return fitting

    @property
    def needs(self) -> tuple[Need, ...]:
        """Every promise about speed."""
        return tuple(_needs(self, self.subject.model.slo, self.levels[0] if self.levels else None))


def _needs(found: Findings, slo: Slo, alone: Level | None) -> Iterator[Need]:
    single = found.tuned.single
    if slo.tokens_per_second is not None:
        rate = single.decode if alone is None or alone.of_one is None else alone.of_one
        bandwidth = slo.tokens_per_second / rate * found.bandwidth.bytes_per_second
        takes = (
            f"memory that is read at about {bandwidth / GIGA:.0f} GB/s; "
            f"here it is {found.bandwidth.bytes_per_second / GIGA:.0f} GB/s"
        )
        held = rate >= slo.tokens_per_second
        yield Need("tokens_per_second", slo.tokens_per_second, rate, "tokens/s", held, takes)
    if slo.ttft_p95 is not None:
        longest = int(slo.ttft_p95 * single.prefill)
        takes = f"prompts of up to {longest} tokens, of which {single.prefill:.0f} a second are read"
        yield _timed("ttft_p95", slo.ttft_p95, None if alone is None else alone.ttft_p95, takes)
    if slo.latency_p95 is not None:
        left = max(0.0, slo.latency_p95 - PROMPT_TOKENS / single.prefill)
        takes = f"answers of up to {int(left * single.decode)} tokens to a short question"
        yield _timed("latency_p95", slo.latency_p95, None if alone is None else alone.latency_p95, takes)
    if slo.itl_p99 is not None:
        takes = f"at least {1 / max(slo.itl_p99, 1e-3):.0f} tokens a second of one answer"
        yield _timed("itl_p99", slo.itl_p99, None if alone is None else alone.itl_p99, takes)


def _timed(promise: str, promised: float, measured: float | None, takes: str) -> Need:
    held = None if measured is None else measured <= promised
    return Need(promise, promised, measured, "s", held, takes)
