"""What the figures mean for the promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.capacity.bandwidth import Bandwidth
from genesis_stack.capacity.findings import Findings
from genesis_stack.capacity.levels import Level
from genesis_stack.capacity.report import as_page
from genesis_stack.capacity.subject import Subject
from genesis_stack.capacity.trial import Speed, Trial
from genesis_stack.capacity.tuning import Tuned
from genesis_stack.loadtest.gate import Check
from genesis_stack.modelstore.known import KNOWN
from genesis_stack.spec.load import load

REFERENCE = load(Path(__file__).parents[2] / "stack.yaml")
MODEL = REFERENCE.models["llama-3-1-8b"]


def level(users: int, *, kept: bool, of_one: float = 8.0) -> Level:
    """A level whose one promise held or not."""
    check = Check("llama-3-1-8b", "tokens_per_second", 20, of_one, "tokens/s", 9, kept)
    return Level(users, 9, 0, of_one * users, of_one, 1.5, 9.0, 0.2, (check,))


def findings(*levels: Level) -> Findings:
    """Of the reference model on a machine with 50 GB/s that decodes 8 tokens/s and reads 40."""
    trial = Trial(2, 2, "f16", 512, flash_attention=True, prompt=128, steps=64, seconds=1.0)
    single = Speed(trial, 40.0, 8.0)
    tuned = Tuned(MODEL.engine, (), single, (single,), (single,), ())
    subject = Subject("llama-3-1-8b", MODEL, Path("/w"), KNOWN[MODEL.weights.sha256], None)
    return Findings(subject, Bandwidth(50e9, 2, "by hand"), tuned, levels, 0.0)


def test_users_fit_as_far_as_every_promise_holds() -> None:
    """A level that holds by chance beyond one that does not proves nothing."""
    assert findings(level(1, kept=True), level(2, kept=True), level(4, kept=False)).users == 2
    assert findings(level(1, kept=False), level(2, kept=True)).users == 0


def test_the_ratio_is_of_weights_read_to_what_memory_gives() -> None:
    """8 tokens/s of 4.91 GB are 39.3 GB/s, of 50."""
    assert findings().bandwidth_ratio == pytest.approx(0.786, abs=0.001)


def test_each_promise_says_what_it_takes() -> None:
    """20 tokens/s where 8 are reached need two and a half times the memory's rate."""
    found = findings(level(1, kept=False))
    rate, first, whole = found.needs
    assert rate.held is False
    assert "125 GB/s" in rate.takes
    assert first.held is True
    assert "120 tokens" in first.takes  # in the promised 3 s, at 40 a second
    assert whole.held is True
    assert "Not even one user" in as_page(found)
