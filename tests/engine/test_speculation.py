from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from engine.running import ask, ask_all, assert_same_but_for_noise, running
from engine.synthetic import write_decoder
from genesis_stack.engine.drafter import _READ
from genesis_stack.engine.interface import EngineError
from genesis_stack.engine.llama import LlamaEngine
from genesis_stack.engine.ngram import NgramIndex
from genesis_stack.engine.speculation import Speculation

LIST = "1. apples, pears and plums\n2. bread, butter and cheese\n3. apples, pears and plums\n"
COPY = LIST * 3 + "1. apples, pears"
small_ids = st.lists(st.integers(-1, 3), max_size=40)


def naive(tokens: list[int], most: int) -> list[int]:
    """What followed the same three tokens the last time, by looking at every place."""
    for start in range(len(tokens) - 4, -1, -1):
        if tokens[start : start + 3] == tokens[-3:]:
            period = tokens[start + 3 :]
            found = [period[at % len(period)] for at in range(most)]
            return found[: found.index(-1)] if -1 in found else found
    return []


@given(small_ids, small_ids, st.integers(0, 8))
def test_a_guess_is_what_followed_the_last_time(prompt: list[int], more: list[int], most: int) -> None:
    """However the tokens came, and never an image."""
    index = NgramIndex(array("i", prompt))
    for token in more:
        index.append(token)
    assert index.guess(most).tolist() == naive(prompt + more, most)


def test_guessing_ends_where_it_does_not_pay() -> None:
    """After a few wrong guesses on a machine where rows cost; never where they are free."""
    speculation = Speculation(array("i", [1, 2, 3] * 4))
    assert speculation.look_up(4, 0.3)
    for _ in range(8):
        speculation.observe(3, 0)
    assert not speculation.look_up(4, 0.3)
    assert speculation.look_up(4, 0.0)
    assert speculation.draft_length(4, 0.3)


def test_guesses_grow_while_they_are_right() -> None:
    """And shrink to what was right."""
    speculation = Speculation(array("i", [1, 2, 3] * 20))
    first = len(speculation.look_up(99, 0.0))
    speculation.observe(first, first)
    assert len(speculation.look_up(99, 0.0)) > first
    speculation.observe(2 * first, 1)
    assert len(speculation.look_up(99, 0.0)) == 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(smollm2: Path) -> AsyncGenerator[LlamaEngine]:
    """SmolLM2 that guesses nothing."""
    async with running(smollm2, parallel=4, queue_requests=512) as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guessing(smollm2: Path) -> AsyncGenerator[LlamaEngine]:
    """SmolLM2 that guesses ahead."""
    async with running(smollm2, parallel=4, queue_requests=512, speculation="ngram") as engine:
        assert engine._worker is not None
        engine._worker.pace.row_share = lambda _streams: 0.0  # type: ignore[method-assign] -- always worth it
        yield engine


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="module")
async def test_greedy_text_is_the_same_with_guesses(plain: LlamaEngine, guessing: LlamaEngine) -> None:
    """And some of it was guessed; alone and in company."""
    prompts = [COPY, "The capital of France is", LIST + "2. bread,"]
    how: dict[str, Any] = {"max_tokens": 48, "top_logprobs": 5, "ignore_eos": True}
    expected = [await ask(plain, prompt, **how) for prompt in prompts]
    alone = [await ask(guessing, prompt, **how) for prompt in prompts]
    together = await ask_all(*(ask(guessing, prompt, **how) for prompt in prompts))
    for one, other, third in zip(expected, alone, together, strict=True):
        assert_same_but_for_noise(one, other)
        assert_same_but_for_noise(one, third)
        assert other.usage.completion_tokens == third.usage.completion_tokens == 48
    stats = guessing.stats()
    assert stats.accepted_tokens_total > 20
    assert stats.steps_total < stats.generated_tokens_total


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="module")
async def test_wrong_guesses_leave_no_cells(guessing: LlamaEngine) -> None:
    """What is held afterwards is the prompt and the answer, so that it can be continued from the cache."""
    first = await ask(guessing, COPY, max_tokens=32, temperature=1.5, seed=3, ignore_eos=True)
    prompt = guessing.tokenize(COPY, add_special=True, parse_special=True)
    again = await ask(guessing, [*prompt, *first.tokens, *prompt[:1]], max_tokens=1)
    assert again.usage.cached_tokens == len(prompt) + len(first.tokens) - 1


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="module")
async def test_guesses_do_not_change_the_distribution(plain: LlamaEngine, guessing: LlamaEngine) -> None:
    """The second and third token behind a text whose continuation is guessed, over 150 seeds."""
    drawn = 150

    async def draw(engine: LlamaEngine) -> Counter[tuple[int, ...]]:
        answers = await ask_all(
            *(
                ask(engine, COPY, max_tokens=3, temperature=1.3, top_k=8, seed=seed, ignore_eos=True)
                for seed in range(drawn)
            )
        )
        return Counter(answer.tokens[1:] for answer in answers)

    before = guessing.stats().accepted_tokens_total
    without, with_guesses = await draw(plain), await draw(guessing)
    assert guessing.stats().accepted_tokens_total > before
    assert len(without) > 3
    distance = sum(abs(without[key] - with_guesses[key]) for key in without | with_guesses) / 2 / drawn
    assert distance < 0.16  # total variation; two honest draws of this size stay below it


@pytest.fixture(scope="module")
def another(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same file under another name: a draft model that is always right."""
    path = tmp_path_factory.mktemp("draft") / "draft.gguf"
    path.symlink_to(smollm2)
    return path


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="module")
async def test_a_draft_model_changes_the_steps_and_not_the_text(
    plain: LlamaEngine, smollm2: Path, another: Path
) -> None:
    """What it guesses is right here, so steps are fewer than tokens; alone, in company and continued."""
    how: dict[str, Any] = {"max_tokens": 24, "top_logprobs": 5, "ignore_eos": True}
    prompts = ["Once upon a time there was a small town by the sea", "Water boils at", LIST]
    expected = [await ask(plain, prompt, **how) for prompt in prompts]
    async with running(smollm2, parallel=4, draft=another) as engine:
        assert engine._worker is not None
        engine._worker.pace.row_share = lambda _streams: 0.0  # type: ignore[method-assign] -- always worth it
        engine._worker.pace.step_share = lambda _seconds: 0.0  # type: ignore[method-assign]
        alone = [await ask(engine, prompt, **how) for prompt in prompts]
        together = await ask_all(*(ask(engine, prompt, **how) for prompt in prompts))
        stats = engine.stats()
        longer = await ask(engine, prompts[0] + alone[0].text, **how)
    for one, other, third in zip(expected, alone, together, strict=True):
        assert_same_but_for_noise(one, other)
        assert_same_but_for_noise(one, third)
    assert stats.accepted_tokens_total > 0.8 * stats.drafted_tokens_total
    assert stats.steps_total < stats.generated_tokens_total / 2
    assert_same_but_for_noise(await ask(plain, prompts[0] + alone[0].text, **how), longer)


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="module")
async def test_a_long_prompt_is_drafted_once_it_has_been_read(smollm2: Path, another: Path) -> None:
    """The draft model reads a piece a step; until then the large one goes on alone, with the same text."""
    prompt = " ".join(f"{number} is a number." for number in range(30))
    how: dict[str, Any] = {"max_tokens": 16, "top_logprobs": 5, "ignore_eos": True}
    async with running(smollm2, parallel=1, context=512) as engine:
        expected = await ask(engine, prompt, **how)
        assert expected.usage.prompt_tokens > 2 * _READ
    async with running(smollm2, parallel=1, context=512, draft=another) as engine:
        answer = await ask(engine, prompt, **how)
        assert engine.stats().accepted_tokens_total > 0
    assert_same_but_for_noise(expected, answer)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_draft_model_with_another_vocabulary_stops_the_start(smollm2: Path, tmp_path: Path) -> None:
    """With both sizes."""
    draft = write_decoder(tmp_path / "draft.gguf", None)
    with pytest.raises(EngineError, match="same vocabulary"):
        async with running(smollm2, draft=draft):
            pass
