"""From what the client saw to figures."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.serving.client import Outcome
from benchmarks.serving.scenarios import INTRUDER_LANE


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement. Times are milliseconds.

    `inter_token` are gaps between arrivals of text, over all streams; `tokens_per_arrival` says how many
    tokens came with one. `stall` are the gaps of the four streams from the moment the long prompt was
    sent until its first token, and `intruder_ttft` is that prompt's own; both only of `intrusion`.
    """

    requests: int
    lost: int
    hung: int
    prompt_tokens: int
    tokens: int
    tokens_per_second: float
    tokens_per_arrival: float
    ttft_p50: float
    ttft_p95: float
    inter_token_p50: float
    inter_token_p99: float
    inter_token_max: float
    stall_p99: float | None
    stall_max: float | None
    intruder_ttft: float | None


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0.0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def figures(outcomes: Sequence[Outcome], *, wall: float, intruded: bool) -> Figures:
    """Figures of one run of the client that took `wall` seconds."""
    done = [outcome for outcome in outcomes if outcome.end == "done"]
    intruders = [one for one in done if intruded and one.lane == INTRUDER_LANE]
    streams = [one for one in done if one not in intruders]
    gaps = [1e3 * gap for one in streams for _, gap in _gaps(one)]
    ttfts = [_ttft(one) for one in streams]
    stalls = [1e3 * gap for intruder in intruders for one in streams for gap in _stalls(one, intruder)]
    tokens = sum(one.answer.completion_tokens for one in done)
    arrivals = sum(len(one.answer.arrivals) for one in done)
    return Figures(
        requests=len(outcomes),
        lost=sum(one.end == "lost" for one in outcomes),
        hung=sum(one.end == "hung" for one in outcomes),
        prompt_tokens=max((one.answer.prompt_tokens or 0 for one in done), default=0),
        tokens=tokens,
        tokens_per_second=tokens / wall,
        tokens_per_arrival=tokens / max(1, arrivals),
        ttft_p50=percentile(ttfts, 0.5),
        ttft_p95=percentile(ttfts, 0.95),
        inter_token_p50=percentile(gaps, 0.5),
        inter_token_p99=percentile(gaps, 0.99),
        inter_token_max=max(gaps, default=0.0),
        stall_p99=percentile(stalls, 0.99) if intruded else None,
        stall_max=max(stalls, default=0.0) if intruded else None,
        intruder_ttft=max(map(_ttft, intruders), default=None),
    )


def complaints(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Why requests failed, with counts."""
    return dict(Counter(f"{one.end}: {one.answer.error}" for one in outcomes if one.end in {"lost", "hung"}))


def _ttft(outcome: Outcome) -> float:
    arrivals = outcome.answer.arrivals
    return 1e3 * (arrivals[0][0] - outcome.started) if arrivals else 0.0


def _gaps(outcome: Outcome) -> list[tuple[float, float]]:
    """Each gap with the instant at which it ended."""
    times = [at for at, _ in outcome.answer.arrivals]
    return [(later, later - earlier) for earlier, later in pairwise(times)]


def _stalls(outcome: Outcome, intruder: Outcome) -> list[float]:
    """Gaps that overlap the time in which the intruder waited for its first token."""
    if not intruder.answer.arrivals:
        return []
    first = intruder.answer.arrivals[0][0]
    gaps = _gaps(outcome)
    begin = bisect_left([end for end, _ in gaps], intruder.started)
    return [gap for end, gap in gaps[begin:] if end - gap <= first]
