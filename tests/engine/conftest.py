"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from engine.running import at_rest, running
from genesis_stack.engine.llama import LlamaEngine


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def _shared_engine(smollm2: Path) -> AsyncGenerator[LlamaEngine]:
    async with running(smollm2, context=256, parallel=8) as engine:
        yield engine


@pytest_asyncio.fixture(loop_scope="session")
async def small(_shared_engine: LlamaEngine) -> AsyncGenerator[LlamaEngine]:
    """SmolLM2 with eight slots, shared by all tests, each of which leaves it at rest."""
    yield _shared_engine
    await at_rest(_shared_engine)
