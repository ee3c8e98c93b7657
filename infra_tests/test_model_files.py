"""Models are the declared files."""

from __future__ import annotations

import pytest

from genesis_stack.modelstore.verdict import files_of
from genesis_stack.verify.machine import Machine
from genesis_stack.verify.plugin import Evidence


def test_size(machine: Machine, model: str, evidence: Evidence) -> None:
    """Every model file is there, in the size that was applied."""
    declared = {file.sha256: file.size for _, file in files_of(machine.model(model))}
    for path, digest in machine.promised.files(model).items():
        found = machine.file(path)
        evidence(path, found.size)
        assert found.size is not None, f"{path} is missing"
        assert declared[digest] in {None, found.size}, (
            f"{path} has {found.size} bytes, not {declared[digest]}"
        )


def test_digest(machine: Machine, model: str, evidence: Evidence) -> None:
    """Every model file hashes to the declared SHA-256."""
    for path, digest in machine.promised.files(model).items():
        found = machine.file(path).sha256
        evidence(path, found)
        if found is None:
            pytest.skip("it is missing")
        assert found == digest, f"{path} hashes to {found}"


def test_owner_and_mode(machine: Machine, model: str, evidence: Evidence) -> None:
    """Model files belong to root, and nobody may write to them."""
    for path in machine.promised.files(model):
        found = machine.file(path)
        if found.mode is not None:
            evidence(path, f"{found.mode:04o} {found.owner}")
            assert (found.owner or "").startswith("root:"), f"{path} belongs to {found.owner}"
            assert found.mode & 0o333 == 0, f"{path} has mode {found.mode:04o}, must be 0444"
