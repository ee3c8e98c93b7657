"""Whether a run is worse than a stored one, beyond what chance explains.

Requests of one moment resemble each other: they queue for the same server. So not single requests but blocks
of neighbouring ones are drawn again (the block bootstrap: Künsch 1989). A statistic has become worse when the
whole interval of its change lies on the bad side of a tolerance, which stands for what differs between two
runs and not within one: the machine's other work, its temperature, the place of its pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from genesis_stack.loadtest.gate import STATISTICS, Statistic
from genesis_stack.loadtest.record import Record, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.99
TOLERANCE: Final = 0.05
"""Share of the stored figure by which one may be worse without counting."""
DRAWS: Final = 1000
MOST_BLOCKS: Final = 40
LEAST_BLOCKS: Final = 5
"""With fewer, an interval is not worth its name."""

_ERRORS: Final = Statistic("error_rate", "%", 5, lambda sample: (float(sample.error is not None),), None)


@dataclass(frozen=True, slots=True)
class Change:
    """One statistic of one model in both runs; `low` and `high` bound its change, in its own unit.

    `worse` is None where there are too few requests to tell.
    """

    model: str
    name: str
    unit: str
    before: float | None
    now: float | None
    low: float | None
    high: float | None
    worse: bool | None


def compare(record: Record, baseline: Record) -> tuple[Change, ...]:
    """Every statistic of every model that both runs called."""
    models = [model for model in record.models if model in baseline.models]
    return tuple(
        change
        for model in models
        for change in _changes(model, record.measured(model), baseline.measured(model))
    )


def _changes(model: str, now: Sequence[Sample], before: Sequence[Sample]) -> Iterator[Change]:
    answered_now = [one for one in now if one.error is None]
    answered_before = [one for one in before if one.error is None]
    for statistic in STATISTICS.values():
        yield _change(model, statistic, answered_now, answered_before)
    yield _change(model, _ERRORS, now, before)


def _change(model: str, statistic: Statistic, now: Sequence[Sample], before: Sequence[Sample]) -> Change:
    import numpy as np

    figures = statistic.of(before)[0], statistic.of(now)[0]
    drawn_before, drawn_now = _draws(statistic, before, 1), _draws(statistic, now, 2)
    if drawn_before is None or drawn_now is None or figures[0] is None:
        return Change(model, statistic.name, statistic.unit, *figures, None, None, None)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn_now - drawn_before, [tail, 1 - tail])
    room = TOLERANCE * figures[0]
    worse = high < -room if statistic.more_is_better else low > room
    return Change(model, statistic.name, statistic.unit, *figures, float(low), float(high), bool(worse))


def _draws(statistic: Statistic, samples: Sequence[Sample], seed: int) -> Floats | None:
    """The statistic of many runs that might as well have been; None where the samples are too few."""
    import numpy as np

    blocks = min(MOST_BLOCKS, len(samples) // 2)
    pairs = [
        (value, at * blocks // len(samples))
        for at, sample in enumerate(samples)
        for value in statistic.values(sample)
    ]
    if blocks < LEAST_BLOCKS or len(pairs) < statistic.least:
        return None
    values, block = np.array(pairs).T
    order = np.argsort(values, kind="stable")
    values, block = values[order], block[order].astype(int)
    chance = np.random.default_rng(seed)
    drawn = (chance.multinomial(blocks, [1 / blocks] * blocks) for _ in range(DRAWS))
    return np.array([_weighted(statistic, values, weights[block]) for weights in drawn])


def _weighted(statistic: Statistic, values: Floats, weights: NDArray[np.int64]) -> float:
    """The statistic of sorted values that each occur so many times."""
    import numpy as np

    if not weights.any():  # no drawn block holds a value: the plain figure says nothing against that
        weights = np.ones_like(weights)
    if statistic.quantile is None:
        return float(np.average(values, weights=weights))
    ranks = np.cumsum(weights)
    return float(values[np.searchsorted(ranks, statistic.quantile * ranks[-1])])
