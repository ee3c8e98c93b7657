"""A server that turns against its host gets nowhere."""

from __future__ import annotations

import pytest

from genesis_stack.verify.machine import Machine
from genesis_stack.verify.plugin import Evidence
from genesis_stack.verify.remote import UnreachableError
from genesis_stack.verify.sandbox import Attempt


def test_sandbox_can_be_entered(machine: Machine, model: str, evidence: Evidence) -> None:
    """Its sandbox can be made as its unit says."""
    if machine.program(model) is None:
        pytest.skip("there is no unit")
    evidence("ends", machine.ends(model))


def test_attempt(machine: Machine, model: str, attempt: Attempt, evidence: Evidence) -> None:
    """From inside its own sandbox it fails, in the way of a confined process."""
    policy = machine.policy(model)
    if reason := attempt.unpromised(policy):
        pytest.skip(reason)
    if attempt.name == "read_other_models" and len(machine.stack.models) == 1:
        pytest.skip("there is no other model")
    try:
        end, said = machine.ends(model)[attempt.name]
    except UnreachableError:
        pytest.skip("its sandbox cannot be entered")
    evidence("end", f"{end}: {said}")
    right = attempt.ends[policy.profile]
    assert end != "done", "it can"
    assert end in right, f"it ended with {end} ({said}), must end with {' or '.join(sorted(right))}"
