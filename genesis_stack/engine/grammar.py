"""Constrained output: GBNF and JSON Schema, compiled under limits because they come from clients.

Everything is measured before llama.cpp or the schema converter sees it (`gbnf` tells why), and compilation
runs in a thread of its own under a deadline, so that a costly grammar delays nobody.
"""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.gbnf import GrammarError, check_grammar
from genesis_stack.engine.interface import EngineUnavailableError, InvalidRequestError, SamplingParams
from genesis_stack.engine.model import Model

MAX_SCHEMA_CHARS: Final = 65_536
MAX_SCHEMA_DEPTH: Final = 32
MAX_SCHEMA_COUNT: Final = 1_000
"""Largest `maxItems`, `minLength` and the like: the converter writes each one out."""
COMPILE_SECONDS: Final = 2.0

_CONVERTED_CHAR: Final = r'[^"\\] | "\\" '
_JSON_CHAR: Final = r'[^"\\\x7F\x00-\x1F] | "\\" '
"""RFC 8259, section 7: control characters must be escaped; the converter lets them through."""
_COUNTS: Final = ("minItems", "maxItems", "minLength", "maxLength")
_PATTERN_UNIT: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\{([^}]*)\}", re.DOTALL)


class Grammar:
    """A compiled grammar; each sequence works on a clone of its own."""

    def __init__(self, model: Model, gbnf: str) -> None:
        self._prototype = lib.llama_sampler_init_grammar(model.vocab, gbnf.encode(), b"root")
        if not self._prototype:
            raise GrammarError("it is not valid GBNF")

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
    gbnf = params.grammar if params.grammar is not None else schema_to_gbnf(params.json_schema or "{}")
    try:
        check_grammar(gbnf)
        return Grammar(model, gbnf)
    except (GrammarError, UnicodeEncodeError) as error:
        raise InvalidRequestError(f"The grammar cannot be used: {error}.", param=_param(params)) from None


def schema_to_gbnf(schema: str) -> str:
    """GBNF for a JSON Schema.

    Raises:
        InvalidRequestError: not JSON, too large, too deep, a remote `$ref`, or a keyword that has no grammar.
    """
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    if len(schema) > MAX_SCHEMA_CHARS:
        raise _bad_schema(f"it has {len(schema)} characters, at most {MAX_SCHEMA_CHARS} are allowed")
    try:
        document = json.loads(schema)
        _check_schema(document, MAX_SCHEMA_DEPTH)
        if isinstance(document, dict) and "$ref" in document:
            # Beside a $ref the converter does not look for the definitions that it needs.
            document = {"anyOf": [{"$ref": document.pop("$ref")}], **document}
        gbnf: str = json_schema_to_gbnf(json.dumps(document))
    except InvalidRequestError:
        raise
    except RecursionError:
        raise _bad_schema("it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 -- the converter raises whatever the schema leads it into
        raise _bad_schema(str(error)[:200] or type(error).__name__) from None
    return gbnf.replace(_CONVERTED_CHAR, _JSON_CHAR)


def _bad_schema(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"The JSON Schema cannot be used: {why}.", param="response_format")


def _check_schema(node: object, depth: int) -> None:
    """Refuse references that leave the document, and what the converter would never end with."""
    if depth == 0:
        raise _bad_schema(f"it is nested more than {MAX_SCHEMA_DEPTH} levels deep")
    match node:
        case dict():
            ref = node.get("$ref")
            if isinstance(ref, str) and not ref.startswith("#/"):
                raise _bad_schema("only $ref within the document (`#/…`) is supported")
            if isinstance(pattern := node.get("pattern"), str):
                _check_pattern(pattern)
            for key in _COUNTS:
                if isinstance(count := node.get(key), int) and count > MAX_SCHEMA_COUNT:
                    raise _bad_schema(f"{key} is more than {MAX_SCHEMA_COUNT}")
            for value in node.values():
                _check_schema(value, depth - 1)
        case list():
            for value in node:
                _check_schema(value, depth - 1)
        case _:
            pass


def _check_pattern(pattern: str) -> None:
    for unit in _PATTERN_UNIT.finditer(pattern):
        for number in re.findall(r"\d+", unit[1] or ""):
            if len(number) > len(str(MAX_SCHEMA_COUNT)) or int(number) > MAX_SCHEMA_COUNT:
                raise _bad_schema(f"a pattern repeats more than {MAX_SCHEMA_COUNT} times")
    if re.search(r"[\]}]", _PATTERN_UNIT.sub("", pattern)):
        raise _bad_schema("a pattern has a bracket that was not opened")
