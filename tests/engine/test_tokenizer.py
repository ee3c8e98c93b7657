from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.running import ENGINE
from genesis_stack.engine.interface import InvalidRequestError
from genesis_stack.engine.llama import LlamaEngine

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="session")]

characters = st.characters(
    max_codepoint=0x3FFFF, exclude_categories=["Cs"], exclude_characters="\x04\x06\x13\x14\x16\x1d"
)
"""What the vocabulary of SmolLM2 has bytes for."""

bounded = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@bounded
@given(text=st.text(characters, max_size=60))
async def test_text_survives_its_tokens(small: LlamaEngine, text: str) -> None:
    """Whatever the text, NUL and rare scripts included."""
    tokens = small.tokenize(text, add_special=False, parse_special=False)
    assert small.detokenize(tokens) == text
    assert all(0 <= token < small.info.n_vocab for token in tokens)


@bounded
@given(parts=st.lists(st.sampled_from(["<|im_start|>", "<|im_end|>", "user", "\n", " a"]), max_size=8))
async def test_control_tokens_are_read_only_when_asked_for(small: LlamaEngine, parts: list[str]) -> None:
    """What a client writes does not become a control token by itself; both ways give the text back."""
    text = "".join(parts)
    (control,) = small.tokenize("<|im_start|>", add_special=False, parse_special=True)
    plain = small.tokenize(text, add_special=False, parse_special=False)
    parsed = small.tokenize(text, add_special=False, parse_special=True)
    assert control not in plain
    assert parsed.count(control) == parts.count("<|im_start|>")
    assert small.detokenize(plain) == small.detokenize(parsed) == text


async def test_lone_surrogates_become_text(small: LlamaEngine) -> None:
    """JSON can carry them, UTF-8 cannot."""
    tokens = small.tokenize("a\ud800b", add_special=False, parse_special=False)
    assert small.detokenize(tokens) in ("a?b", "a\ufffdb")


async def test_half_a_character_becomes_a_replacement(small: LlamaEngine) -> None:
    """Tokens need not end where characters do."""
    tokens = small.tokenize("🦄", add_special=False, parse_special=False)
    assert len(tokens) > 1
    assert "\ufffd" in small.detokenize(tokens[:1])


@pytest.mark.parametrize("token", [-1, 49_152, 2**40])
async def test_unknown_tokens_have_no_text(small: LlamaEngine, token: int) -> None:
    """They are refused by name."""
    with pytest.raises(InvalidRequestError) as refused:
        small.detokenize([1, token])
    assert refused.value.param == "tokens"


@pytest.mark.parametrize("text", ["a" * 100_000, " " * 100_000, "é🦄" * 20_000, "1" * 50_000])
async def test_long_monotonous_texts_are_no_trap(small: LlamaEngine, text: str) -> None:
    """Neither the stack nor the clock runs out."""
    tokens = small.tokenize(text, add_special=False, parse_special=False)
    assert small.detokenize(tokens) == text


async def test_the_model_describes_itself(small: LlamaEngine) -> None:
    """What templates and `/props` need to know."""
    info = small.info
    assert (info.architecture, info.n_vocab, info.n_layers, info.n_context) == ("llama", 49_152, 30, 256)
    assert (info.bos_text, info.eos_text) == ("<|im_start|>", "<|im_end|>")
    assert {"<|im_start|>", "<|im_end|>"} <= info.control_tokens
    assert info.chat_template is not None
    assert (info.threads, info.threads_batch) == (ENGINE.threads, ENGINE.threads_batch)
