"""Secrets are root's alone."""

from __future__ import annotations

import pytest

from genesis_stack.verify.facts import Facts
from genesis_stack.verify.plugin import Evidence


def test_secret_files(facts: Facts, evidence: Evidence) -> None:
    """No file with a secret can be read by anybody but root."""
    found = [line.split("\t") for line in facts.text("secrets").splitlines() if line.count("\t") == 2]
    evidence("mode, owner, file", facts.text("secrets"))
    if not found:
        pytest.skip("there are none")
    wrong = [path for mode, owner, path in found if int(mode, 8) & 0o077 or owner != "root"]
    assert not wrong, f"others may read {', '.join(wrong)}: chmod 600"
