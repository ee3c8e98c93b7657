"""Fixtures of the HTTP side."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine
from serving import Serve, Served, serve_config, serving

from genesis_stack.protocol.serve_config import ServeConfig


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file that stands for a model's weights."""
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def config(weights: Path) -> ServeConfig:
    """The configuration of the served model."""
    return ServeConfig.model_validate_json(json.dumps(serve_config(weights, max_body_bytes=100_000)))


@pytest.fixture
async def serve(config: ServeConfig) -> AsyncGenerator[Serve]:
    """Serve a certain engine."""
    async with serving(config) as serve:
        yield serve


@pytest.fixture
async def served(serve: Serve) -> Served:
    """Serve an engine that says "Hello."."""
    return await serve(ScriptedEngine())
