from __future__ import annotations

import os
from pathlib import Path

import pytest
from engine.tiny_adapter import write_adapter

from genesis_stack.modelstore.facts import read_facts


@pytest.mark.model
def test_an_adapter_has_tensors_and_no_shape(tmp_path: Path, smollm2: Path) -> None:
    """It counts with its tensors, and is no broken model."""
    path = write_adapter(tmp_path / "adapter.gguf", smollm2, seed=1)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        facts = read_facts(descriptor, "adapter")
    finally:
        os.close(descriptor)
    assert facts.architecture == "llama"
    assert 0 < facts.tensor_bytes < path.stat().st_size
    assert facts.layers == 0
