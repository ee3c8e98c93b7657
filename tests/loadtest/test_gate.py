"""What counts as kept."""

from __future__ import annotations

from typing import Any

import pytest

from genesis_stack.loadtest.gate import judge, kept, percentile
from genesis_stack.loadtest.schedule import users_at
from genesis_stack.spec.loadtest import LoadProfile
from genesis_stack.spec.model import Stack
from loadtest.runs import MODEL, run_of


def stack_with(**slo: Any) -> Stack:
    """A stack of one model that promises this."""
    weights = {"source": "file:///nowhere", "sha256": "0" * 64}
    model = {"port": 8000, "weights": weights, "budget": {"memory": "1GiB", "cpus": 1}, "slo": slo}
    return Stack.model_validate(
        {"api_version": "genesis.stack/v1", "name": "loaded", "models": {MODEL: model}}
    )


def broken(record: Any, profile: LoadProfile | None = None, **slo: Any) -> set[str]:
    """The promises that a run did not keep."""
    checks = judge(record, stack_with(**slo), profile or LoadProfile())
    found = {check.promise for check in checks if not check.kept}
    assert kept(checks) == (not found)
    return found


def test_a_run_without_a_request_fails() -> None:
    """Nothing was asked, so nothing is proved, even without any promise."""
    assert broken(run_of(1, requests=0)) == {"answered requests", "error_rate"}


def test_too_few_answers_prove_nothing() -> None:
    """Fewer answers than the profile wants fail the run, however good they are."""
    assert broken(run_of(1, requests=19)) == {"answered requests"}
    assert broken(run_of(1, requests=20)) == set()


def test_a_promise_that_was_not_measured_is_not_kept() -> None:
    """A percentile of next to no values proves nothing, in whatever direction it points."""
    record = run_of(1)
    whole = record.model_copy(
        update={"samples": tuple(one.model_copy(update={"ttft": None}) for one in record.samples)}
    )
    assert broken(whole, ttft_p95="60s") == {"ttft_p95"}


@pytest.mark.parametrize(
    ("promise", "good", "bad"),
    [
        ("ttft_p95", "1s", "10ms"),
        ("latency_p95", "2s", "10ms"),
        ("itl_p99", "200ms", "1ms"),
        ("tokens_per_second", 1, 100_000),
    ],
)
def test_every_promise_is_measured(promise: str, good: Any, bad: Any) -> None:
    """Each is kept by a run that reaches it, and broken by one that does not."""
    assert broken(run_of(1), **{promise: good}) == set()
    assert broken(run_of(1), **{promise: bad}) == {promise}


def test_without_a_promise_no_request_may_fail() -> None:
    """One failure in 200 breaks a stack that promises nothing, and not one that allows it."""
    assert broken(run_of(1, failed=1)) == {"error_rate"}
    assert broken(run_of(1, failed=1), error_rate="1%") == set()


def test_a_restart_amid_the_run_fails_it() -> None:
    """A server that began anew is seen, even where no request failed."""
    assert broken(run_of(1, began=(1.0, 1.0, 2.0))) == {"restarts"}


def test_a_profile_replaces_single_promises() -> None:
    """A profile's promise stands in for the model's; the others stay."""
    profile = LoadProfile.model_validate({"slo": {"ttft_p95": "1s"}})
    assert broken(run_of(1), profile, ttft_p95="1ms", latency_p95="1ms") == {"latency_p95"}


def test_the_warm_up_is_not_measured() -> None:
    """Requests that began in it count for nothing."""
    record = run_of(1).model_copy(update={"warm_up": 1e6})
    assert "answered requests" in broken(record)


def test_a_generator_at_its_limit_fails_the_run() -> None:
    """It measured itself."""
    assert broken(run_of(1).model_copy(update={"generator_cpu": 0.97})) == {"CPU"}


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """Nearest rank: never below what that share of the values reached."""
    assert percentile([1, 2, 3, 4], 0.5) == 2
    assert percentile([1, 2, 3, 4], 0.95) == 4
    assert percentile(list(range(1, 101)), 0.99) == 99


def test_steps_follow_each_other() -> None:
    """Users jump with each step, the warm-up belongs to the first, and the end is the end."""
    steps = [{"users": 2, "duration": "10s"}, {"users": 16, "duration": "5s"}]
    profile = LoadProfile.model_validate({"warm_up": "5s", "steps": steps})
    moments = [users_at(profile, moment) for moment in (0, 14.9, 15, 19.9, 20)]
    assert moments == [(2, 2.0), (2, 2.0), (16, 16.0), (16, 16.0), None]
