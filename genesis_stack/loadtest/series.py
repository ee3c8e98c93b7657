"""The curves of a report, out of a record: figures per window of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from genesis_stack.loadtest.gate import percentile
from genesis_stack.loadtest.plot import Line, Plot, histogram, over_time
from genesis_stack.loadtest.record import Record, Sample

WINDOWS: Final = 40
MIB: Final = 1024 * 1024

Figure = Callable[[Sequence[Sample]], float]


def plots(record: Record, model: str) -> Iterator[Plot]:
    """Every plot of one model; the warm-up is in the curves and not in the histograms."""
    samples = [one for one in record.samples if one.model == model]
    answered = [one for one in samples if one.error is None]
    measured = [one for one in record.measured(model) if one.error is None]
    seconds = record.seconds
    yield over_time("latency, s", _latencies(record, answered), seconds)
    yield histogram("time to the first token, s", [one.ttft for one in measured if one.ttft is not None])
    yield histogram("time between tokens, s", [gap for one in measured for gap in one.gaps])
    yield over_time(
        "tokens a second", [Line("tokens/s", _windows(record, answered, _tokens(record)))], seconds
    )
    yield over_time("concurrency", _concurrency(record, model), seconds)
    yield over_time("memory, MiB", _memory(record, model), seconds)
    yield over_time("open descriptors", _descriptors(record, model), seconds)
    failed = [one for one in samples if one.error is not None]
    yield over_time("errors", [Line("errors", _windows(record, failed, len, empty=0.0))], seconds)


def _width(record: Record) -> float:
    return max(record.seconds / WINDOWS, 1.0)


def _windows(
    record: Record, samples: Sequence[Sample], figure: Figure, *, empty: float | None = None
) -> list[tuple[float, float]]:
    """A figure of the requests that ended in each window; windows without any are left out or `empty`."""
    width = _width(record)
    ended: dict[int, list[Sample]] = {}
    for one in samples:
        ended.setdefault(int((one.started + one.seconds - record.started) / width), []).append(one)
    if empty is not None and ended:
        for at in range(int(record.seconds / width) + 1):
            ended.setdefault(at, [])
    return [
        ((at + 0.5) * width, figure(found) if found else empty or 0.0) for at, found in sorted(ended.items())
    ]


def _latencies(record: Record, samples: Sequence[Sample]) -> list[Line]:
    def share(of: float) -> Figure:
        return lambda found: percentile([one.seconds for one in found], of)

    return [Line(f"p{of * 100:.0f}", _windows(record, samples, share(of))) for of in (0.5, 0.95, 0.99)]


def _tokens(record: Record) -> Figure:
    return lambda found: sum(one.tokens for one in found) / _width(record)


def _concurrency(record: Record, model: str) -> list[Line]:
    seen = [one for one in record.readings if one.model == model]
    return [
        Line("users", [(one.at - record.started, one.users) for one in record.crowds]),
        Line("running", [(one.at - record.started, one.running) for one in seen]),
        Line("waiting", [(one.at - record.started, one.waiting) for one in seen]),
    ]


def _descriptors(record: Record, model: str) -> list[Line]:
    seen = [one for one in record.readings if one.model == model and one.descriptors]
    return [Line("open", [(one.at - record.started, one.descriptors) for one in seen])]


def _memory(record: Record, model: str) -> list[Line]:
    seen = [one for one in record.readings if one.model == model and one.memory]
    budget = [(one.at - record.started, one.budget / MIB) for one in seen if one.budget]
    return [
        Line("resident", [(one.at - record.started, one.memory / MIB) for one in seen]),
        Line("budget", budget, limit=True),
    ]
