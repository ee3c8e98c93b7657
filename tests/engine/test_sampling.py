from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from jsonschema import validate

from engine.running import STORY, ask, ask_all, running
from genesis_stack.engine.interface import ContextLengthError, FinishReason, InvalidRequestError
from genesis_stack.engine.llama import LlamaEngine

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("count", [1, 7])
async def test_max_tokens_is_exact(small: LlamaEngine, count: int) -> None:
    """So many tokens are made, counted and handed out."""
    answer = await ask(small, STORY, max_tokens=count, ignore_eos=True)
    assert answer.finish is FinishReason.LENGTH
    assert len(answer.tokens) == answer.usage.completion_tokens == count
    assert small.detokenize(answer.tokens) == answer.text


async def test_the_end_of_the_context_ends_the_text(small: LlamaEngine) -> None:
    """Without `max_tokens` a text may fill the context, and no more."""
    prompt = small.tokenize("la " * 300, add_special=True, parse_special=False)[: small.info.n_context - 5]
    answer = await ask(small, prompt, max_tokens=None, ignore_eos=True)
    assert answer.finish is FinishReason.LENGTH
    assert answer.usage.prompt_tokens + answer.usage.completion_tokens == small.info.n_context


async def test_the_model_ends_its_own_text(small: LlamaEngine) -> None:
    """Its end-of-generation token is a stop, silent, and counted as OpenAI counts it."""
    (end,) = small.tokenize(small.info.eos_text, add_special=False, parse_special=True)
    answer = await ask(small, STORY, logit_bias={end: 100.0}, top_logprobs=1)
    assert (answer.text, answer.tokens, answer.finish) == ("", (), FinishReason.STOP)
    assert answer.choices[0].logprobs == ()
    assert answer.usage.completion_tokens == 1


async def test_the_end_can_be_ignored(small: LlamaEngine) -> None:
    """With `ignore_eos` only `max_tokens` ends the text."""
    (end,) = small.tokenize(small.info.eos_text, add_special=False, parse_special=True)
    answer = await ask(small, STORY, logit_bias={end: 100.0}, ignore_eos=True, max_tokens=5)
    assert (answer.finish, answer.usage.completion_tokens) == (FinishReason.LENGTH, 5)


async def test_a_bias_bans_and_forces_tokens(small: LlamaEngine) -> None:
    """Minus 100 bans, plus 100 forces."""
    usual = await ask(small, STORY, max_tokens=1)
    (banned,) = usual.tokens
    assert (await ask(small, STORY, max_tokens=1, logit_bias={banned: -100.0})).tokens != usual.tokens
    forced = small.tokenize("fish", add_special=False, parse_special=False)[0]
    answer = await ask(small, STORY, max_tokens=3, logit_bias={forced: 100.0})
    assert set(answer.tokens) == {forced}


async def test_the_same_seed_gives_the_same_text(smollm2: Path) -> None:
    """Whatever the seed, where the cells lie the same: the order of a sum of floats follows their places."""
    async with running(smollm2, prefix_cache=False) as engine:
        for seed in (0, -1, 2**32 - 1, 2**63):
            first = await ask(engine, STORY, temperature=1.0, seed=seed)
            assert (await ask(engine, STORY, temperature=1.0, seed=seed)).tokens == first.tokens


async def test_without_a_seed_texts_differ(small: LlamaEngine) -> None:
    """A seed is drawn for each."""
    texts = [await ask(small, STORY, temperature=1.5, max_tokens=12) for _ in range(3)]
    assert len({text.tokens for text in texts}) > 1


async def test_choices_differ_and_share_the_prompt(small: LlamaEngine) -> None:
    """`n` choices have a seed each; the prompt is computed once."""
    prompt = "Here is what the old captain told me about his three ships, " * 5
    before = small.stats()
    answer = await ask(small, prompt, n=3, temperature=1.2, seed=5, max_tokens=10, ignore_eos=True)
    after = small.stats()
    assert len({choice.tokens for choice in answer.choices}) == 3
    assert answer.usage.completion_tokens == 30
    computed = after.prompt_tokens_total - before.prompt_tokens_total
    assert computed <= answer.usage.prompt_tokens + 2  # the others compute one token, for its logits


async def test_log_probabilities_are_those_of_the_model(small: LlamaEngine) -> None:
    """They sum to at most one, are ordered, and the greedy choice is the first."""
    answer = await ask(small, STORY, max_tokens=6, top_logprobs=20)
    entries = answer.choices[0].logprobs
    assert [entry.chosen.token for entry in entries] == list(answer.tokens)
    for entry in entries:
        logprobs = [top.logprob for top in entry.top]
        assert len(logprobs) == 20
        assert logprobs == sorted(logprobs, reverse=True)
        assert 0.1 < math.fsum(map(math.exp, logprobs)) <= 1 + 1e-6
        assert entry.top[0] == entry.chosen
        assert entry.chosen.utf8.decode() == entry.chosen.text == small.detokenize([entry.chosen.token])


async def test_log_probabilities_of_the_chosen_alone(small: LlamaEngine) -> None:
    """`top_logprobs` 0 asks for no alternatives; more than there are tokens for all of them."""
    (entry,) = (await ask(small, STORY, max_tokens=1, top_logprobs=0)).choices[0].logprobs
    assert entry.top == ()
    (entry,) = (await ask(small, STORY, max_tokens=1, top_logprobs=10**6)).choices[0].logprobs
    assert len(entry.top) >= small.info.n_vocab - 1
    logprobs = [top.logprob for top in entry.top]
    assert logprobs == sorted(logprobs, reverse=True)


async def test_log_probabilities_are_before_the_samplers(small: LlamaEngine) -> None:
    """A bias changes what is chosen, not how likely the model thought it."""
    plain = (await ask(small, STORY, max_tokens=1, top_logprobs=5)).choices[0].logprobs[0]
    second = plain.top[1]
    forced = await ask(small, STORY, max_tokens=1, top_logprobs=5, logit_bias={second.token: 100.0})
    assert forced.choices[0].logprobs[0].chosen.logprob == pytest.approx(second.logprob, abs=0.05)


@pytest.mark.parametrize("stop", ["town by", "by the s", "n b"], ids=["words", "half a word", "amid words"])
async def test_a_stop_string_ends_the_text_before_it(small: LlamaEngine, stop: str) -> None:
    """Wherever the tokens' borders are."""
    forced = "small town by the sea"
    answer = await ask(small, STORY, grammar=f'root ::= "{forced}"', stop=[stop], max_tokens=20)
    assert (answer.text, answer.finish) == (forced[: forced.index(stop)], FinishReason.STOP)


async def test_characters_of_several_tokens_stay_whole(small: LlamaEngine) -> None:
    """Emoji arrive as characters, and a stop string may begin amid one's tokens."""
    answer = await ask(small, STORY, grammar='root ::= "a 🦄🐙 b"', max_tokens=30)
    assert (answer.text, answer.finish) == ("a 🦄🐙 b", FinishReason.STOP)
    stopped = await ask(small, STORY, grammar='root ::= "a 🦄🐙 b"', stop=["🐙"], max_tokens=30)
    assert stopped.text == "a 🦄"


async def test_json_follows_its_schema(small: LlamaEngine) -> None:
    """What a schema asks for parses and validates."""
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "age": {"type": "integer"},
            "colour": {"enum": ["red", "green"]},
        },
        "required": ["name", "age", "colour"],
        "additionalProperties": False,
    }
    answers = await ask_all(
        *(
            ask(small, STORY, json_schema=json.dumps(schema), max_tokens=80, temperature=1.0, seed=seed)
            for seed in range(3)
        )
    )
    for answer in answers:
        assert answer.finish is FinishReason.STOP
        validate(json.loads(answer.text), schema)


@pytest.mark.parametrize("control", ["\n", "\t"])
async def test_strings_of_a_schema_escape_control_characters(small: LlamaEngine, control: str) -> None:
    """However much the model wants one, RFC 8259 does not."""
    (token,) = small.tokenize(control, add_special=False, parse_special=False)
    answer = await ask(
        small, STORY, json_schema='{"type": "string", "maxLength": 4}', logit_bias={token: 100.0}
    )
    assert control not in answer.text
    assert isinstance(json.loads(answer.text), str)


async def test_a_recursive_schema_works(small: LlamaEngine) -> None:
    """As pydantic writes one: a reference beside its definitions."""
    node = {
        "type": "object",
        "properties": {"v": {"type": "boolean"}, "next": {"$ref": "#/$defs/node"}},
        "required": ["v"],
    }
    schema = {"$defs": {"node": node}, "$ref": "#/$defs/node"}
    (comma,) = small.tokenize(",", add_special=False, parse_special=False)
    answer = await ask(
        small, STORY, json_schema=json.dumps(schema), max_tokens=40, logit_bias={comma: -100.0}
    )
    validate(json.loads(answer.text), schema)


async def test_a_grammar_that_leads_nowhere_cuts_the_text_short(small: LlamaEngine) -> None:
    """No token fits any more: what there is comes back, and the engine goes on."""
    answer = await ask(small, STORY, grammar=r'root ::= "ab" [^\x00-\U0010FFFF]')
    assert (answer.text, answer.finish) == ("ab", FinishReason.LENGTH)
    assert (await ask(small, STORY)).finish is FinishReason.LENGTH


async def test_a_finished_grammar_bears_ignoring_the_end(small: LlamaEngine) -> None:
    """There is nothing to say any more, and it is said until `max_tokens`."""
    answer = await ask(small, STORY, grammar='root ::= "yes"', ignore_eos=True, max_tokens=6)
    assert (answer.text, answer.usage.completion_tokens) == ("yes", 6)


async def test_a_grammar_whose_ambiguity_explodes_is_given_up(small: LlamaEngine) -> None:
    """Its every token doubles the ways it could be read; the text is cut short before that hurts."""
    (letter,) = small.tokenize("x", add_special=False, parse_special=False)
    grammar = 'root ::= s\ns ::= "x" s "y" | "x" s "z" | "x"'
    answer = await ask(small, STORY, grammar=grammar, logit_bias={letter: 100.0}, max_tokens=30)
    assert answer.finish is FinishReason.LENGTH
    assert len(answer.tokens) < 30


@pytest.mark.parametrize("temperature", [1e-38, 1e-45, 1e-7])
async def test_a_tiny_temperature_is_greedy(small: LlamaEngine, temperature: float) -> None:
    """Logits divided by it would be no numbers."""
    greedy = await ask(small, STORY)
    assert (await ask(small, STORY, temperature=temperature)).tokens == greedy.tokens


async def test_penalties_stop_repetition(small: LlamaEngine) -> None:
    """What a frequency penalty is for."""
    prompt = "la " * 30
    plain = await ask(small, prompt, max_tokens=12, ignore_eos=True)
    penalised = await ask(small, prompt, max_tokens=12, frequency_penalty=2.0, ignore_eos=True)
    assert len(set(penalised.tokens)) > len(set(plain.tokens))


async def test_a_prompt_that_cannot_fit_is_refused_with_both_numbers(small: LlamaEngine) -> None:
    """Never a silent cut."""
    with pytest.raises(ContextLengthError) as refused:
        await ask(small, [1] * 250, max_tokens=13)
    assert (refused.value.prompt_tokens, refused.value.max_tokens, refused.value.context) == (250, 13, 256)
    assert "256" in str(refused.value)
    assert "250" in str(refused.value)
    with pytest.raises(ContextLengthError):
        await ask(small, [1] * 256, max_tokens=None)
    with pytest.raises(ContextLengthError):
        await ask(small, [1], max_tokens=2**63)


@pytest.mark.parametrize("token", [-1, 49_152, 2**31, 2**63], ids=str)
async def test_tokens_that_the_model_does_not_have_are_refused(small: LlamaEngine, token: int) -> None:
    """llama.cpp would fail the batch, and with it everybody."""
    with pytest.raises(InvalidRequestError) as refused:
        await ask(small, [1, token])
    assert refused.value.param == "prompt"


@pytest.mark.parametrize(("prompt", "n", "param"), [([], 1, "prompt"), ([1], 0, "n")])
async def test_requests_for_nothing_are_refused(
    small: LlamaEngine, prompt: list[int], n: int, param: str
) -> None:
    """No prompt, or no choice."""
    with pytest.raises(InvalidRequestError) as refused:
        await ask(small, prompt, n=n)
    assert refused.value.param == param
