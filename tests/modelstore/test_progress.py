"""What is told of a long transfer, by a clock that stands still until it is moved."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from clock import Clock

from genesis_stack.modelstore import progress as module
from genesis_stack.modelstore.progress import LINE_EVERY, describe, progress
from genesis_stack.modelstore.quantity import declare_size, show_duration, show_size

MIB = 2**20


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The one that transfers are timed by."""
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


def test_a_line_tells_how_far_it_is_how_fast_and_how_long_it_takes() -> None:
    """What nobody knows is left out."""
    known = describe(256 * MIB, 1024 * MIB, rate=64 * MIB)
    assert known == "256 MiB of 1.00 GiB (25 %), 64.0 MiB/s, 12 s left"
    assert describe(256 * MIB, None, rate=64 * MIB) == "256 MiB, 64.0 MiB/s"
    assert describe(0, 1024 * MIB, rate=0) == "0 B of 1.00 GiB (0 %), 0 B/s"


def test_into_a_pipe_goes_a_line_every_few_seconds_and_one_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log is not filled with thousands of them."""
    with progress("pulling", 100 * MIB, done=10 * MIB) as advance:
        for step in range(20):
            clock.now += LINE_EVERY / 10
            advance((10 + 4 * step) * MIB)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["pulling"] * 3
    assert "46.0 MiB of 100 MiB (46 %)" in lines[0]
    assert lines[-1].endswith(show_duration(2 * LINE_EVERY))


def test_what_is_soon_done_is_not_told(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody waited for it."""
    with progress("pulling", MIB) as advance:
        clock.now += LINE_EVERY / 2
        advance(MIB)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the part that is done."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("pulling", 4 * MIB) as advance:
        advance(4 * MIB)
    assert "4.0/4.0 MiB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "shown", "declared"),
    [
        (512, "512 B", "512B"),
        (1024, "1.00 KiB", "1024B"),
        (98 * MIB, "98.0 MiB", "98MiB"),
        (100 * MIB + 1, "100 MiB", "100.1MiB"),
        (5 * 2**40, "5.00 TiB", "5120GiB"),
    ],
)
def test_sizes_have_three_digits_and_a_declared_one_holds_the_size(
    size: int, shown: str, declared: str
) -> None:
    """Rounded up, since a budget that is a byte too small is too small."""
    assert (show_size(size), declare_size(size)) == (shown, declared)


def test_times_are_told_in_their_two_greatest_units() -> None:
    """Seconds mean nothing beside hours."""
    assert [show_duration(seconds) for seconds in (41.4, 200, 7500)] == ["41 s", "3 min 20 s", "2 h 5 min"]
