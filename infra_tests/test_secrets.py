"""Secrets are root's alone."""

from __future__ import annotations

import pytest

from genesis_stack.verify.facts import Facts
from genesis_stack.verify.plugin import Evidence


def test_secret_files(facts: Facts, evidence: Evidence) -> None:
    """No file with a secret can be read, and none replaced, by anybody but root."""
    found = [line.split("\t") for line in facts.text("secrets").splitlines() if line.count("\t") == 3]
    evidence("mode, owner, kind, path", facts.text("secrets"))
    if not any(kind == "f" for _, _, kind, _ in found):
        pytest.skip("there are none")
    wrong = [
        path
        for mode, owner, kind, path in found
        if owner != "root" or int(mode, 8) & (0o022 if kind == "d" else 0o077)
    ]
    assert not wrong, f"not root's alone: {', '.join(wrong)}: chown root, chmod go="
