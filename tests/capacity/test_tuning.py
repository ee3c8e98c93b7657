"""How settings are found, on a machine that is only arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from genesis_stack.capacity.trial import Speed, Trial
from genesis_stack.capacity.tuning import Tuned, Tuner
from genesis_stack.spec.model import Budget, EngineSettings, Slo

Rate = Callable[[Trial], float]


def tuned(
    decode: Rate = lambda _: 10.0,
    prefill: Rate = lambda _: 100.0,
    *,
    fits: Callable[[EngineSettings], bool] = lambda _: True,
    seconds: float = 1e6,
    cores: int = 4,
    slo: Slo | None = None,
    **engine: Any,
) -> Tuned:
    """What the tuner finds for a model of 4 cores."""

    def measure(trials: Sequence[Trial]) -> Iterator[Speed]:
        return (Speed(trial, prefill(trial), decode(trial) if trial.steps else 0.0) for trial in trials)

    tuner = Tuner(
        EngineSettings.model_validate(engine),
        Budget(memory=2**30, cpus=4),
        slo or Slo(),
        cores=cores,
        measure=measure,
        fits=fits,
        deadline=monotonic() + seconds,
        seconds=1.0,
    )
    return tuner.run()


def changed(found: Tuned) -> dict[str, int | str]:
    """The settings that are better otherwise."""
    return {change.setting: change.after for change in found.changes}


def test_what_is_fastest_is_chosen() -> None:
    """Each setting by the work that it decides: decoding by threads, prompts by theirs and by the batch."""
    found = tuned(
        lambda trial: {1: 5.0, 2: 20.0, 4: 10.0}[trial.threads] * (2 if trial.kv_cache == "q8_0" else 1),
        lambda trial: trial.threads_batch * 10.0 + (20 if trial.batch == 1024 else 0),
    )
    assert changed(found) == {"threads": 2, "kv_cache": "q8_0", "batch": 1024}
    assert found.engine.threads == 2
    assert found.single.trial.threads_batch == 4


def test_noise_changes_nothing() -> None:
    """Three percent are no reason to touch a stack."""
    found = tuned(lambda trial: 10.3 if trial.threads == 2 or trial.kv_cache == "q8_0" else 10.0)
    assert changed(found) == {}


def test_more_threads_than_the_machine_has_are_given_up() -> None:
    """A stack that was written for a larger machine gets what this one has."""
    found = tuned(lambda trial: 10.0 if trial.threads <= 2 else 1.0, cores=2, threads=4)
    assert changed(found)["threads"] == 2


def test_only_what_fits_the_memory_budget_is_chosen() -> None:
    """Neither a larger cache nor more requests at once than the budget holds, however fast they are."""
    found = tuned(
        lambda trial: trial.sequences * (9.0 if trial.kv_cache == "f16" else 1.0),
        fits=lambda engine: engine.kv_cache == "q8_0" and engine.parallel <= 8,
        kv_cache="q8_0",
    )
    assert changed(found) == {"parallel": 8}
    assert any("f16" in skipped for skipped in found.skipped)


def test_as_many_requests_at_once_as_keep_the_promised_rate() -> None:
    """All together would be fastest with 16, but then each would get less than was promised."""
    found = tuned(lambda trial: 40.0 + 10 * trial.sequences, slo=Slo(tokens_per_second=15), parallel=4)
    assert changed(found) == {"parallel": 8}
    out_of_reach = tuned(lambda trial: 10.0 * trial.sequences, slo=Slo(tokens_per_second=50), parallel=4)
    assert changed(out_of_reach) == {}


def test_without_a_promise_few_are_as_good_as_many() -> None:
    """As few at once as reach nearly the highest total: more would only wait for each other."""
    assert changed(tuned(lambda trial: min(trial.sequences, 2) * 10.0, parallel=16)) == {}
    assert changed(tuned(lambda trial: min(trial.sequences, 8) * 10.0, parallel=2)) == {"parallel": 8}


def test_without_time_the_least_is_measured_and_the_rest_told() -> None:
    """One trial, which is that of a single sequence as well; everything else is named as not tried."""
    found = tuned(seconds=0.0)
    assert found.single.decode == 10.0
    assert found.tried == (found.single,)
    assert changed(tuned(seconds=0.0, parallel=4)) == {}
    assert {skipped.split()[0] for skipped in found.skipped} == {"threads", "kv_cache", "batch", "parallel"}
