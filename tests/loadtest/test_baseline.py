"""What counts as worse."""

from __future__ import annotations

from collections.abc import Sequence

from genesis_stack.loadtest.baseline import Change, compare
from loadtest.runs import run_of


def worse(changes: Sequence[Change]) -> set[str]:
    """Statistics that became worse."""
    return {change.name for change in changes if change.worse}


def test_a_regression_is_found() -> None:
    """Much slower: every time and the rate have become worse, the errors have not."""
    found = worse(compare(run_of(2, slower=1.6), run_of(1)))
    assert found == {"ttft_p95", "latency_p95", "itl_p99", "tokens_per_second"}


def test_noise_is_no_regression() -> None:
    """Runs that differ by chance alone are not told apart, in ten tries."""
    assert [worse(compare(run_of(seed, 100), run_of(0, 100))) for seed in range(1, 11)] == [set()] * 10


def test_an_improvement_is_no_regression() -> None:
    """Faster is not worse."""
    assert worse(compare(run_of(2, slower=0.7), run_of(1))) == set()


def test_new_errors_are_found() -> None:
    """A fifth of the requests fails that did not before; a single one may be chance."""
    assert "error_rate" in worse(compare(run_of(2, failed=40), run_of(1)))
    assert worse(compare(run_of(2, failed=1), run_of(1))) == set()


def test_too_few_requests_tell_nothing() -> None:
    """Neither better nor worse."""
    assert {change.worse for change in compare(run_of(2, 8), run_of(1))} == {None}
