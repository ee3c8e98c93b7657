"""Whether a run kept the promises: one check a promise, each with what was promised and what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from genesis_stack.loadtest.record import Record, Sample
from genesis_stack.spec.loadtest import LoadProfile
from genesis_stack.spec.model import Stack
from genesis_stack.spec.runtime import Slo

GENERATOR_LIMIT: Final = 0.9
"""Share of a core above which Locust measures itself rather than the servers."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise about one model; `samples` is how many measurements it rests on.

    `unit` is `s`, `tokens/s`, `%` or empty for a count; values in % are shares of 1.
    """

    model: str
    promise: str
    promised: float
    measured: float | None
    unit: str
    samples: int
    kept: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Statistic:
    """How a promise is measured: from one request come values, from all values one figure.

    `least` is how many values there must be; with fewer the nearest-rank percentile is little but a maximum.
    """

    name: str
    unit: str
    least: int
    values: Callable[[Sample], Sequence[float]]
    quantile: float | None
    more_is_better: bool = False

    def of(self, samples: Sequence[Sample]) -> tuple[float | None, int]:
        """The figure, and how many values it is made of."""
        values = [value for sample in samples for value in self.values(sample)]
        if not values:
            return None, 0
        if self.quantile is None:
            return sum(values) / len(values), len(values)
        return percentile(values, self.quantile), len(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a value that was measured, never one in between."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _present(value: float | None) -> Sequence[float]:
    return () if value is None else (value,)


STATISTICS: Final[Mapping[str, Statistic]] = {
    one.name: one
    for one in (
        Statistic("ttft_p95", "s", 5, lambda sample: _present(sample.ttft), 0.95),
        Statistic("latency_p95", "s", 5, lambda sample: (sample.seconds,), 0.95),
        Statistic("itl_p99", "s", 100, lambda sample: sample.gaps, 0.99),
        Statistic("tokens_per_second", "tokens/s", 5, lambda sample: _present(sample.rate), None, True),  # noqa: FBT003
    )
}
"""The promises of an `slo` that are about answered requests."""


def promised(stack: Stack, profile: LoadProfile, model: str) -> Slo:
    """A model's promises, with those of the profile in place of its own."""
    return stack.models[model].slo.model_copy(update=profile.slo.model_dump(exclude_none=True))


def judge(record: Record, stack: Stack, profile: LoadProfile) -> tuple[Check, ...]:
    """Every check of a run."""
    checks = [check for model in record.models for check in _of_model(record, stack, profile, model)]
    return (*checks, *_generator(record))


def kept(checks: Sequence[Check]) -> bool:
    """Whether something was checked and all of it holds."""
    return bool(checks) and all(check.kept for check in checks)


def _of_model(record: Record, stack: Stack, profile: LoadProfile, model: str) -> Iterator[Check]:
    samples = record.measured(model)
    answered = [sample for sample in samples if sample.error is None]
    slo = promised(stack, profile, model)
    count, least = len(answered), profile.least_requests
    few = "" if count >= least else "too few to prove anything"
    yield Check(model, "answered requests", least, count, "", count, not few, few)
    yield _errors(model, samples, slo)
    for name, statistic in STATISTICS.items():
        limit = getattr(slo, name)
        if limit is not None:
            yield _promise(model, statistic, limit, answered)
    restarts = record.restarts(model)
    if restarts:
        yield Check(model, "restarts", 0, restarts, "", len(record.readings), False, "a server began anew")  # noqa: FBT003


def _errors(model: str, samples: Sequence[Sample], slo: Slo) -> Check:
    """Without a promise, nothing may fail."""
    limit = slo.error_rate or 0.0
    failed = [sample.error for sample in samples if sample.error is not None]
    rate = len(failed) / len(samples) if samples else None
    reason = "" if samples else "not one request"
    if failed:
        common = max(sorted(set(failed)), key=failed.count)
        reason = f"{len(failed)} failed, most often: {common}"
    good = rate is not None and rate <= limit
    return Check(model, "error_rate", limit, rate, "%", len(samples), good, reason)


def _promise(model: str, statistic: Statistic, limit: float, answered: Sequence[Sample]) -> Check:
    measured, count = statistic.of(answered)
    if measured is None or count < statistic.least:
        reason = f"needs {statistic.least} measurements"
        if statistic.name != "latency_p95":
            reason += ", which only streamed answers give"
        return Check(model, statistic.name, limit, measured, statistic.unit, count, False, reason)  # noqa: FBT003
    good = measured >= limit if statistic.more_is_better else measured <= limit
    return Check(model, statistic.name, limit, measured, statistic.unit, count, good)


def _generator(record: Record) -> Iterator[Check]:
    """A generator at its own limit makes every other figure worthless."""
    share = record.generator_cpu
    if share > GENERATOR_LIMIT:
        reason = "Locust was too busy to measure: distribute it over more workers"
        yield Check("(load generator)", "CPU", GENERATOR_LIMIT, share, "%", 1, False, reason)  # noqa: FBT003
