from __future__ import annotations

from pathlib import Path

import pytest

from engine.running import STORY, Answer, ask, ask_all, assert_same_but_for_noise, at_rest, running
from genesis_stack.engine.interface import FinishReason
from genesis_stack.engine.llama import LlamaEngine
from genesis_stack.engine.scheduler import _WORTH_FOLLOWING

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="session")]

PROMPTS = [
    STORY,
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Water boils at",
    "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
    "Three primary colours are",
    "Dear Sir or Madam, I am writing to",
    "In 1969, the first man",
]
SYSTEM = "You are a careful assistant. " + " ".join(
    f"Rule {number}: {verb} before you answer." for number, verb in enumerate(["think", "read", "ask"] * 6)
)


async def greedy(engine: LlamaEngine, prompt: str) -> Answer:
    """A short greedy answer with log probabilities."""
    return await ask(engine, prompt, max_tokens=8, top_logprobs=5, ignore_eos=True)


async def test_company_does_not_change_what_is_said(smollm2: Path) -> None:
    """Greedy text is the same alone and amid seven others."""
    async with running(smollm2, parallel=8, prefix_cache=False) as engine:
        alone = [await greedy(engine, prompt) for prompt in PROMPTS]
        amid = await ask_all(*(greedy(engine, prompt) for prompt in PROMPTS))
        await at_rest(engine)
    for one, other in zip(alone, amid, strict=True):
        assert_same_but_for_noise(one, other)


async def test_the_prefix_cache_does_not_change_what_is_said(small: LlamaEngine) -> None:
    """Greedy text is the same over computed and over reused cells."""
    for prompt in (SYSTEM + PROMPTS[0], SYSTEM + PROMPTS[1]):
        fresh = await greedy(small, f"<|im_start|>{prompt}")
        reused = await greedy(small, f"<|im_start|>{prompt}")
        assert reused.usage.cached_tokens == reused.usage.prompt_tokens - 1
        assert_same_but_for_noise(fresh, reused)


async def test_a_shared_system_prompt_is_computed_once(small: LlamaEngine) -> None:
    """Of eight who come at the same time, seven take it from the first, up to what is worth a wait."""
    prompts = [f"{SYSTEM} Now, number {number}:" for number in range(8)]
    shared = len(small.tokenize(SYSTEM, add_special=True, parse_special=False)) - 1
    worth = shared - _WORTH_FOLLOWING
    before = small.stats()
    answers = await ask_all(*(greedy(small, prompt) for prompt in prompts))
    after = small.stats()
    assert sorted(answer.usage.cached_tokens >= worth for answer in answers) == [False] + [True] * 7
    computed = after.prompt_tokens_total - before.prompt_tokens_total
    assert computed == sum(a.usage.prompt_tokens - a.usage.cached_tokens for a in answers)


async def test_a_conversation_goes_on_from_its_cells(small: LlamaEngine) -> None:
    """The next turn repeats the last one's prompt and answer, and pays for neither."""
    first = await ask(small, "Tell me about the lighthouse.", max_tokens=12, ignore_eos=True)
    history = [
        *small.tokenize("Tell me about the lighthouse.", add_special=True, parse_special=True),
        *first.tokens,
    ]
    second = await ask(small, [*history, *history[:3]])
    assert second.usage.cached_tokens >= len(history) - 1


async def test_repeating_a_request_does_not_crowd_out_the_others(smollm2: Path) -> None:
    """Who asks the same again and again takes one place in the cache."""
    async with running(smollm2, parallel=2) as engine:
        await ask(engine, PROMPTS[0])
        for _ in range(9):
            await ask(engine, PROMPTS[4])
        again = await ask(engine, PROMPTS[0])
        assert again.usage.cached_tokens == again.usage.prompt_tokens - 1
        await at_rest(engine)


async def test_old_prefixes_make_room(smollm2: Path) -> None:
    """A full cache never stands in the way of a new text: what was used longest ago goes, and no more."""
    async with running(smollm2, context=64, parallel=4) as engine:
        for number in range(6):
            answer = await ask(engine, [number + 20] * 62, max_tokens=2, ignore_eos=True)
            assert answer.finish is FinishReason.LENGTH
        assert (await ask(engine, [23] * 62, max_tokens=2)).usage.cached_tokens == 61
        assert (await ask(engine, [20] * 62, max_tokens=2)).usage.cached_tokens == 0
        await ask_all(*(ask(engine, [n + 50] * 62, max_tokens=2, ignore_eos=True) for n in range(4)))
        await at_rest(engine)


async def test_without_a_cache_choices_still_share_their_prompt(smollm2: Path) -> None:
    """`prefix_cache` off keeps nothing of finished requests, yet `n` choices compute one prompt."""
    async with running(smollm2, prefix_cache=False) as engine:
        answer = await ask(engine, SYSTEM, n=3, max_tokens=4, temperature=1.0)
        assert engine.stats().prompt_tokens_total <= answer.usage.prompt_tokens + 2
        again = await ask(engine, SYSTEM, max_tokens=2)
        assert again.usage.cached_tokens == 0
        await at_rest(engine)
        assert engine.stats().kv_cells_used == 0


async def test_more_slots_than_rows_of_a_batch_work(smollm2: Path) -> None:
    """Everyone who streams gets a row in every step."""
    async with running(smollm2, context=64, parallel=40, batch=32) as engine:
        answers = await ask_all(*(ask(engine, [number + 20], ignore_eos=True) for number in range(40)))
        assert all(len(answer.tokens) == 8 for answer in answers)
        await at_rest(engine)


async def test_a_quantised_cache_says_the_same(smollm2: Path) -> None:
    """`kv_cache: q8_0` costs precision, not sense."""
    async with running(smollm2, kv_cache="q8_0") as quantised, running(smollm2) as plain:
        assert_same_but_for_noise(await greedy(plain, PROMPTS[0]), await greedy(quantised, PROMPTS[0]))
