from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import eventually

from engine.grammars import BAD_SCHEMAS, EXPLOSIVE, MALFORMED, SCHEMAS, VALID
from genesis_stack.engine import bindings, grammar
from genesis_stack.engine.gbnf import GrammarError, check_grammar
from genesis_stack.engine.grammar import GrammarCompiler, schema_to_gbnf
from genesis_stack.engine.interface import EngineUnavailableError, InvalidRequestError, SamplingParams
from genesis_stack.engine.model import Model

SOON = 1.0
"""Seconds within which the worst grammar must be refused; milliseconds are usual."""


@pytest.mark.parametrize("gbnf", VALID.values(), ids=VALID.keys())
def test_sound_grammars_pass(gbnf: str) -> None:
    """What people write is not in the way of the bounds."""
    check_grammar(gbnf)


@pytest.mark.parametrize("gbnf", EXPLOSIVE.values(), ids=EXPLOSIVE.keys())
def test_explosive_grammars_are_refused_at_once(gbnf: str) -> None:
    """llama.cpp would crash on each of these, hang, or eat the memory."""
    started = time.process_time()
    with pytest.raises(GrammarError):
        check_grammar(gbnf)
    assert time.process_time() - started < SOON


@settings(deadline=None)
@given(st.text('ab"[]()|*+?{}:=,0123<>!.\\\n #^-', max_size=40))
def test_whatever_is_written_is_judged(text: str) -> None:
    """A grammar passes or is refused; nothing else comes out."""
    with contextlib.suppress(GrammarError):
        check_grammar(f"root ::= {text}")


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_sound_schemas_become_sound_grammars(schema: dict[str, object]) -> None:
    """Large ones too."""
    check_grammar(schema_to_gbnf(json.dumps(schema)))


@pytest_asyncio.fixture(loop_scope="session")
async def compiler(smollm2: Path) -> AsyncGenerator[GrammarCompiler]:
    """A compiler over the vocabulary of a real model."""
    bindings.initialise()
    model = Model(str(smollm2), mlock=False)
    compiler = GrammarCompiler(model)
    yield compiler
    compiler.close()
    model.close()


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="session")
async def test_what_passes_the_check_is_accepted_by_llama_cpp(compiler: GrammarCompiler) -> None:
    """The check reads grammars as llama.cpp does."""
    for gbnf in VALID.values():
        assert await compiler.compile(SamplingParams(grammar=gbnf)) is not None
    for schema in SCHEMAS.values():
        assert await compiler.compile(SamplingParams(json_schema=json.dumps(schema))) is not None
    assert await compiler.compile(SamplingParams()) is None


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="session")
async def test_malformed_grammars_are_the_clients_fault(compiler: GrammarCompiler) -> None:
    """Whether the check or llama.cpp finds it, the message is short and the field is named."""
    for name, gbnf in {**MALFORMED, **EXPLOSIVE}.items():
        with pytest.raises(InvalidRequestError) as refused:
            await compiler.compile(SamplingParams(grammar=gbnf))
        assert refused.value.param == "grammar", name
        assert len(str(refused.value)) < 300, name


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="session")
async def test_bad_schemas_are_the_clients_fault(compiler: GrammarCompiler) -> None:
    """Within a bound of time, and without fetching anything."""
    for name, schema in BAD_SCHEMAS.items():
        started = time.monotonic()
        with pytest.raises(InvalidRequestError) as refused:
            await compiler.compile(SamplingParams(json_schema=schema))
        assert refused.value.param == "response_format", name
        assert len(str(refused.value)) < 300, name
        assert time.monotonic() - started < 10 * SOON, name


@pytest.mark.asyncio(loop_scope="session")
async def test_a_grammar_that_never_compiles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client is refused, the next ones are told to come back, and later it is as before."""
    never = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stuck(*_: object) -> None:
        asyncio.run_coroutine_threadsafe(never.wait(), loop).result()

    monkeypatch.setattr(grammar, "_compile", stuck)
    monkeypatch.setattr(grammar, "COMPILE_SECONDS", 0.05)
    compiler = GrammarCompiler(None)  # type: ignore[arg-type] -- nothing asks for the model
    try:
        with pytest.raises(InvalidRequestError):
            await compiler.compile(SamplingParams(grammar="root ::="))
        with pytest.raises(EngineUnavailableError):
            await compiler.compile(SamplingParams(grammar="root ::="))
        assert await compiler.compile(SamplingParams()) is None
        never.set()
        monkeypatch.setattr(grammar, "COMPILE_SECONDS", 30.0)
        await eventually(lambda: compiler._stuck is not None and compiler._stuck.done())
        assert await compiler.compile(SamplingParams(grammar="root ::=")) is None
    finally:
        never.set()
        compiler.close()
