"""Constrained output: GBNF and JSON Schema, compiled under limits because they come from clients.

llama.cpp bounds repetitions and refuses left recursion. Size and nesting are bounded here, and compilation
runs in a thread of its own under a deadline, so that an explosive grammar delays nobody.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.interface import EngineUnavailableError, InvalidRequestError, SamplingParams
from genesis_stack.engine.model import Model

MAX_GRAMMAR_CHARS: Final = 65_536
MAX_SCHEMA_CHARS: Final = 65_536
MAX_SCHEMA_DEPTH: Final = 32
COMPILE_SECONDS: Final = 2.0


class Grammar:
    """A compiled grammar; each sequence works on a clone of its own."""

    def __init__(self, model: Model, gbnf: str) -> None:
        self._prototype = lib.llama_sampler_init_grammar(model.vocab, gbnf.encode(), b"root")
        if not self._prototype:
            raise InvalidRequestError(
                "The grammar is not valid GBNF with a rule named root.", param="grammar"
            )

    def sampler(self) -> Any:
        """A fresh `llama_sampler *`; the caller frees it."""
        return lib.llama_sampler_clone(self._prototype)

    def __del__(self) -> None:
        """Free the prototype with the last request that uses it."""
        if getattr(self, "_prototype", None):
            lib.llama_sampler_free(self._prototype)


class GrammarCompiler:
    """Compiles one grammar at a time, off the event loop and off the engine's thread."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="grammar")
        self._stuck: asyncio.Future[Grammar] | None = None

    async def compile(self, params: SamplingParams) -> Grammar | None:
        """The grammar that `params` asks for, or None.

        Raises:
            InvalidRequestError: it is malformed, too large, or too complex to compile in time.
            EngineUnavailableError: an earlier one is still being compiled beyond its deadline.
        """
        if params.grammar is None and params.json_schema is None:
            return None
        if self._stuck is not None and not self._stuck.done():
            raise EngineUnavailableError(
                "Grammars cannot be compiled right now.", retry_after=COMPILE_SECONDS
            )
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, _compile, self._model, params)
        try:
            return await asyncio.wait_for(asyncio.shield(future), COMPILE_SECONDS)
        except TimeoutError:
            self._stuck = future
            raise InvalidRequestError(
                f"The grammar takes longer than {COMPILE_SECONDS:g} s to compile; simplify it.",
                param=_param(params),
            ) from None

    def close(self) -> None:
        """Let the thread go without waiting for what it may be stuck in."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _param(params: SamplingParams) -> str:
    return "grammar" if params.grammar is not None else "response_format"


def _compile(model: Model, params: SamplingParams) -> Grammar:
    if params.grammar is not None:
        if len(params.grammar) > MAX_GRAMMAR_CHARS or "\0" in params.grammar:
            raise InvalidRequestError(
                f"The grammar must be at most {MAX_GRAMMAR_CHARS} characters, without NUL.", param="grammar"
            )
        return Grammar(model, params.grammar)
    return Grammar(model, schema_to_gbnf(params.json_schema or "{}"))


def schema_to_gbnf(schema: str) -> str:
    """GBNF for a JSON Schema.

    Raises:
        InvalidRequestError: not JSON, too large, too deep, a remote `$ref`, or a keyword that has no grammar.
    """
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    if len(schema) > MAX_SCHEMA_CHARS:
        raise _bad_schema(f"it has {len(schema)} characters, at most {MAX_SCHEMA_CHARS} are allowed")
    try:
        _check_schema(json.loads(schema), MAX_SCHEMA_DEPTH)
        gbnf: str = json_schema_to_gbnf(schema)
    except InvalidRequestError:
        raise
    except RecursionError:
        raise _bad_schema("it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 -- the converter raises whatever the schema leads it into
        raise _bad_schema(str(error)[:200] or type(error).__name__) from None
    return gbnf


def _bad_schema(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"The JSON Schema cannot be used: {why}.", param="response_format")


def _check_schema(node: object, depth: int) -> None:
    """Bound the nesting and refuse references that would leave the document."""
    if depth == 0:
        raise _bad_schema(f"it is nested more than {MAX_SCHEMA_DEPTH} levels deep")
    match node:
        case dict():
            ref = node.get("$ref")
            if isinstance(ref, str) and not ref.startswith("#/"):
                raise _bad_schema("only $ref within the document (`#/…`) is supported")
            for value in node.values():
                _check_schema(value, depth - 1)
        case list():
            for value in node:
                _check_schema(value, depth - 1)
        case _:
            pass
