"""What ours must reach beside llama-server, judged from the measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.serving.figures import Figures
from benchmarks.serving.measurement import Measurement
from benchmarks.serving.running import Footprint

OURS = "genesis-serve"
REFERENCE = "llama-server"
LARGE_MODEL_BYTES = 2**30  # from here on Python's share of a step must vanish beside the model's
_MEMORY_SLACK = 8 * 2**20  # what an allocator keeps, unrelated to the number of requests


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise: `measured` against `limit`; `spread` is the lowest and highest round."""

    scenario: str
    promise: str
    measured: float
    limit: float
    at_least: bool
    spread: tuple[float, float]

    @property
    def met(self) -> bool:
        """Whether the median over the rounds keeps the promise."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def margin(self) -> str:
        """By how much it is met or missed, in words."""
        if self.limit == 0:
            return "met" if self.met else f"missed by {self.measured:g}"
        beyond = abs(self.measured / self.limit - 1)
        return f"{'met' if self.met else 'MISSED'}, {beyond:.1%} {'inside' if self.met else 'beyond'}"


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Ours over llama-server's of one figure, in one scenario."""

    scenario: str
    promise: str
    numerator: Callable[[Figures], float | None]
    limit: float
    at_least: bool = False
    denominator: Callable[[Figures], float | None] | None = None


def _ratios(single_limit: float) -> tuple[_Ratio, ...]:
    singles = tuple(
        _Ratio(name, "inter-token p50", lambda one: one.inter_token_p50, single_limit)
        for name in ("single-64", "single-256")
    )
    many = tuple(
        ratio
        for name in ("many-8", "many-16")
        for ratio in (
            _Ratio(name, "tokens/s", lambda one: one.tokens_per_second, 1.0, at_least=True),
            _Ratio(name, "inter-token p99", lambda one: one.inter_token_p99, 1.0),
        )
    )
    return (
        *singles,
        *many,
        _Ratio("shared", "tokens/s", lambda one: one.tokens_per_second, 3.0, at_least=True),
        _Ratio("shared", "TTFT p95", lambda one: one.ttft_p95, 0.2),
        _Ratio(
            "intrusion",
            "inter-token p99 while the long prompt is read / llama-server's longest stall",
            lambda one: one.stall_p99,
            0.05,
            denominator=lambda one: one.stall_max,
        ),
        _Ratio("intrusion", "TTFT of the long prompt", lambda one: one.intruder_ttft, 1.3),
    )


def judge(measurements: Sequence[Measurement], *, model_bytes: int) -> tuple[Verdict, ...]:
    """Every promise for which there are figures."""
    ratios = _ratios(1.01 if model_bytes >= LARGE_MODEL_BYTES else 1.05)
    verdicts = [verdict for ratio in ratios if (verdict := _judge_ratio(ratio, measurements))]
    mine = [one for one in measurements if one.peer == OURS]
    if mine:
        failed = [float(one.figures.lost + one.figures.hung) for one in mine]
        verdicts.append(
            Verdict("all", "lost or hung requests", sum(failed), 0, at_least=False, spread=(0, max(failed)))
        )
    for one in mine:
        if one.before and one.after:
            verdicts += _judge_footprint(one.before, one.after)
    return tuple(verdicts)


def _judge_ratio(ratio: _Ratio, measurements: Sequence[Measurement]) -> Verdict | None:
    values = paired(measurements, ratio.scenario, OURS, ratio.numerator, ratio.denominator)
    if not values:
        return None
    return Verdict(
        scenario=ratio.scenario,
        promise=f"{ratio.promise}, ours / llama-server's",
        measured=median(values),
        limit=ratio.limit,
        at_least=ratio.at_least,
        spread=(min(values), max(values)),
    )


def paired(
    measurements: Sequence[Measurement],
    scenario: str,
    peer: str,
    numerator: Callable[[Figures], float | None],
    denominator: Callable[[Figures], float | None] | None = None,
) -> list[float]:
    """One ratio to llama-server a round, for the rounds in which both were measured."""
    by_key = {(one.scenario, one.peer, one.round): one.figures for one in measurements}
    values = []
    for (name, who, number), theirs in by_key.items():
        reference = by_key.get((scenario, REFERENCE, number))
        if (name, who) == (scenario, peer) and reference is not None:
            above, below = numerator(theirs), (denominator or numerator)(reference)
            if above and below:
                values.append(above / below)
    return values


def _judge_footprint(before: Footprint, after: Footprint) -> list[Verdict]:
    growth = {
        "busy slots afterwards": (after.busy_slots, 0),
        "descriptors above the baseline": (max(0, after.descriptors - before.descriptors), 0),
        "threads above the baseline": (max(0, after.threads - before.threads), 0),
        "anonymous memory above the baseline, bytes": (
            max(0, after.anonymous_bytes - before.anonymous_bytes),
            _MEMORY_SLACK,
        ),
    }
    return [
        Verdict("churn", promise, value, limit, at_least=False, spread=(value, value))
        for promise, (value, limit) in growth.items()
    ]
