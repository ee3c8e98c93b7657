"""Limits of alerts, in the unit that they are written in."""

from __future__ import annotations

import pytest

from genesis_stack.spec.alerts import Threshold
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import InvalidStackError
from spec.stacks import with_lines

MOST = 1_000_000_000_000_000


def own(threshold: object) -> str:
    """A stack with an alert of its own that has this limit."""
    return with_lines(f"alerts: {{Own: {{expr: foo > 1, threshold: {threshold}}}}}\n")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10s", Threshold(10.0, "seconds")),
        ("1h30m", Threshold(5400.0, "seconds")),
        ("250ms", Threshold(0.25, "seconds")),
        ("1%", Threshold(0.01, "fraction")),
        ("12.5 %", Threshold(0.125, "fraction")),
        ("100%", Threshold(1.0, "fraction")),
        ("7GiB", Threshold(7.0 * 2**30, "bytes")),
        (0, Threshold(0.0, "number")),
        (0.9, Threshold(0.9, "number")),
        (MOST, Threshold(float(MOST), "number")),
        (-MOST, Threshold(-float(MOST), "number")),
    ],
)
def test_a_limit_has_the_unit_it_is_written_in_and_survives_a_dump(written: object, meant: Threshold) -> None:
    """Of two limits that look alike, 1 % is a hundredth and 1 is one."""
    stack = loads(own(written))
    assert stack.alerts["Own"].threshold == meant
    assert Stack.model_validate_json(stack.model_dump_json()) == stack


@pytest.mark.parametrize(
    ("limit", "written"),
    [
        (Threshold(0.25, "seconds"), "250ms"),
        (Threshold(0.0005, "seconds"), "0.5ms"),
        (Threshold(0.2, "fraction"), "20%"),
        (Threshold(0.002, "fraction"), "0.2%"),
    ],
)
def test_a_dumped_limit_has_no_idle_digits(limit: Threshold, written: str) -> None:
    """A dump is for people too."""
    assert limit.written() == written


def test_a_plain_number_will_do_for_every_limit() -> None:
    """It counts in the unit of the alert: seconds here."""
    stack = loads(with_lines("alerts: {HighLatency: {threshold: 3}}\n"))
    assert stack.alerts["HighLatency"].threshold == Threshold(3.0, "number")


@pytest.mark.parametrize("written", ["true", MOST * 2, -MOST * 2, "10", "a lot", "[1]", "101%"])
def test_what_is_no_limit_is_refused_where_it_stands(written: object) -> None:
    """A truth value is no number, though Python takes it for one."""
    with pytest.raises(InvalidStackError) as caught:
        loads(own(written if not isinstance(written, str) or written[0] in "t[" else f'"{written}"'))
    assert [problem.path for problem in caught.value.problems] == ["alerts.Own.threshold"]
