"""LoRA adapters: who asks for one gets it, whoever runs beside."""

from __future__ import annotations

import ctypes
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.running import STORY, ask, ask_all, assert_same_but_for_noise, running
from engine.tiny_adapter import write_adapter
from genesis_stack.engine.bindings import lib
from genesis_stack.engine.interface import EngineError, InvalidRequestError, Token
from genesis_stack.engine.llama import LlamaEngine
from genesis_stack.protocol.serve_config import AdapterRef

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]

NAMES = ("", "one", "other")


@pytest.fixture(scope="module")
def adapters(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, AdapterRef]:
    """Two of them, the second at half its strength."""
    directory = tmp_path_factory.mktemp("adapters")
    return {
        name: AdapterRef(
            path=str(write_adapter(directory / f"{name}.gguf", smollm2, seed=seed)),
            sha256="2" * 64,
            size=None,
            scale=scale,
        )
        for name, seed, scale in (("one", 1, 1.0), ("other", 2, 0.5))
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(smollm2: Path, adapters: dict[str, AdapterRef]) -> AsyncGenerator[LlamaEngine]:
    """SmolLM2 with both."""
    async with running(smollm2, adapters=adapters, parallel=6) as ready:
        yield ready


def first_token(weights: Path, adapter: AdapterRef | None, prompt: list[Token]) -> Token:
    """The greedy token behind `prompt`, by llama.cpp alone."""
    model = lib.llama_model_load_from_file(str(weights).encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx, params.flash_attn_type = 256, 1
    context = lib.llama_init_from_model(model, params)
    if adapter is not None:
        pointer = lib.llama_adapter_lora_init(model, adapter.path.encode())
        lib.llama_set_adapters_lora(
            context, (lib.llama_adapter_lora_p_ctypes * 1)(pointer), 1, (ctypes.c_float * 1)(adapter.scale)
        )
    tokens = (ctypes.c_int32 * len(prompt))(*prompt)
    assert lib.llama_decode(context, lib.llama_batch_get_one(tokens, len(prompt))) == 0
    logits = lib.llama_get_logits_ith(context, -1)
    best: Token = max(
        range(lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))), key=lambda token: logits[token]
    )
    lib.llama_free(context)
    lib.llama_model_free(model)
    return best


async def test_an_adapter_is_llama_cpps(
    engine: LlamaEngine, smollm2: Path, adapters: dict[str, AdapterRef]
) -> None:
    """With its strength; and each says something else."""
    prompt = engine.tokenize(STORY, add_special=True, parse_special=True)
    expected = {name: first_token(smollm2, adapters.get(name), prompt) for name in NAMES}
    assert len(set(expected.values())) > 1
    for name in NAMES:
        answer = await ask(engine, prompt, adapter=name, max_tokens=1)
        assert answer.tokens == (expected[name],)


async def test_company_of_other_adapters_changes_nothing(engine: LlamaEngine) -> None:
    """Requests with and without adapters at the same time, of one prompt whose cells they may not share."""
    how: dict[str, Any] = {"max_tokens": 12, "top_logprobs": 5, "ignore_eos": True}
    alone = [await ask(engine, STORY, adapter=name, **how) for name in NAMES]
    together = await ask_all(*(ask(engine, STORY, adapter=name, **how) for name in NAMES * 2))
    for index, answer in enumerate(together):
        assert_same_but_for_noise(alone[index % len(NAMES)], answer)
    assert len({answer.tokens for answer in alone}) == len(NAMES)


async def test_cells_are_shared_within_an_adapter_only(engine: LlamaEngine) -> None:
    """The second request with it finds the prompt, one with another does not."""
    prompt = "A prompt that nobody has sent before, and which is long enough to be shared."
    tokens = len(engine.tokenize(prompt, add_special=True, parse_special=True))
    assert (await ask(engine, prompt, adapter="one")).usage.cached_tokens == 0
    assert (await ask(engine, prompt, adapter="one")).usage.cached_tokens == tokens - 1
    assert (await ask(engine, prompt, adapter="other")).usage.cached_tokens == 0
    assert (await ask(engine, prompt)).usage.cached_tokens == 0


async def test_an_unknown_adapter_is_refused(engine: LlamaEngine) -> None:
    """By name."""
    with pytest.raises(InvalidRequestError, match="no adapter 'third'"):
        await ask(engine, STORY, adapter="third")


@pytest.fixture
def broken(tmp_path: Path, adapters: dict[str, AdapterRef]) -> AdapterRef:
    """An adapter that was cut short."""
    path = tmp_path / "broken.gguf"
    path.write_bytes(Path(adapters["one"].path).read_bytes()[:400])
    return adapters["one"].model_copy(update={"path": str(path)})


async def test_an_adapter_that_is_none_stops_the_start(smollm2: Path, broken: AdapterRef) -> None:
    """With the file that is at fault."""
    with pytest.raises(EngineError, match=r"broken\.gguf"):
        async with running(smollm2, adapters={"broken": broken}):
            pass
