from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis_stack.engine.pace import Pace, RowCost

TARGET = 0.15
TILE = 64
seconds = st.floats(1e-5, 5.0)


def learned(decode_step: float, prompt_token: float) -> Pace:
    """A pace that has seen a machine of this speed."""
    pace = Pace(TARGET)
    for _ in range(20):
        pace.observe(0, decode_step, rows=4)
        pace.observe(100, 100 * prompt_token, rows=100)
    return pace


@given(seconds, seconds, st.booleans(), st.integers(1, 4096))
def test_a_chunk_fits_the_batch_and_gets_on(
    decode_step: float, prompt_token: float, streaming: bool, capacity: int
) -> None:
    """However slow the machine: at least one token, at most what the batch takes."""
    assert 1 <= learned(decode_step, prompt_token).chunk(capacity, streaming=streaming) <= capacity


def test_a_first_guess_is_bounded_too() -> None:
    """Before anything was measured."""
    assert 1 <= Pace(TARGET).chunk(16, streaming=True) <= 16
    assert 1 <= Pace(TARGET).chunk(2048, streaming=False) <= 2048


@given(seconds, seconds, seconds)
def test_a_slower_machine_takes_smaller_chunks(decode_step: float, one: float, other: float) -> None:
    """The chunk shrinks as prompt tokens cost more."""
    fast, slow = sorted((one, other))
    slowly, quickly = learned(decode_step, slow), learned(decode_step, fast)
    assert slowly.chunk(512, streaming=True) <= quickly.chunk(512, streaming=True)


@given(st.floats(1e-3, 0.5), st.floats(1e-4, 5e-2))
def test_who_streams_is_not_stalled_far_beyond_the_target(decode_step: float, prompt_token: float) -> None:
    """A piece of prompt and the step after it take the target or six steps, or the piece is one tile.

    The tile then takes no more than four times what is left beside the step.
    """
    chunk = learned(decode_step, prompt_token).chunk(4096, streaming=True)
    allowed = max(TARGET, 6 * decode_step) * 1.01
    if chunk == TILE:
        assert chunk * prompt_token <= 4 * (allowed - decode_step)
    else:
        assert (chunk - TILE / 2) * prompt_token + decode_step <= allowed or chunk <= 8


@given(st.floats(1e-3, 0.02), st.floats(1e-4, 8e-3))
def test_a_prompt_that_takes_half_a_tile_a_step_takes_all_of_it(
    decode_step: float, prompt_token: float
) -> None:
    """Below a tile llama.cpp goes row by row over the cells, and the step is hardly any shorter."""
    assert learned(decode_step, prompt_token).chunk(4096, streaming=True) % TILE == 0


@given(seconds, seconds)
def test_a_prompt_gets_no_less_when_nobody_streams(decode_step: float, prompt_token: float) -> None:
    """There is nobody to stall then."""
    pace = learned(decode_step, prompt_token)
    assert pace.chunk(4096, streaming=False) >= pace.chunk(4096, streaming=True)


@given(st.floats(1e-4, 5e-2), st.integers(1, 4096))
def test_short_is_what_takes_little_time(prompt_token: float, tokens: int) -> None:
    """A prompt within the target is always short, one of ten times the target never."""
    pace = learned(0.02, prompt_token)
    if tokens * prompt_token <= TARGET:
        assert pace.is_short(tokens)
    if tokens * prompt_token >= 10 * TARGET:
        assert not pace.is_short(tokens)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_wait_grows_with_the_queue(fewer: int, more: int, shorter: int, longer: int) -> None:
    """More requests or more prompt before one: a longer wait; never below a second."""
    fewer, more = sorted((fewer, more))
    shorter, longer = sorted((shorter, longer))
    pace = learned(0.02, 0.002)
    assert 1.0 <= pace.wait(fewer, shorter, 8) <= pace.wait(more, longer, 8)


def test_the_wait_is_a_forecast_of_the_work_ahead() -> None:
    """Twenty requests that generate 100 tokens each, on two slots of 20 ms a step."""
    pace = learned(0.02, 0.002)
    for _ in range(50):
        pace.finished(100)
    forecast = 20 / 2 * 100 * 0.02 + 1000 * 0.002
    assert 0.8 * forecast <= pace.wait(20, 1000, 2) <= 1.2 * forecast


@given(st.floats(1e-4, 1.0), st.floats(1e-5, 0.1), st.lists(st.integers(1, 32), min_size=4, unique=True))
def test_the_cost_of_rows_is_told_from_steps_of_several_sizes(
    fixed: float, each: float, sizes: list[int]
) -> None:
    """The share of a step that grows with its rows."""
    cost = RowCost()
    for rows in sizes * 5:
        cost.observe(rows, fixed + each * rows)
    assert cost.share(8) == pytest.approx(8 * each / (fixed + 8 * each), abs=0.02)


def test_steps_of_one_size_tell_nothing_about_rows() -> None:
    """Guessing is then tried."""
    cost = RowCost()
    for _ in range(10):
        cost.observe(4, 0.1)
    assert cost.share(4) == 0.0
