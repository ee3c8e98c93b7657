"""What a client writes never becomes a control token, with a real vocabulary of every kind of token."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine.running import running
from engine.synthetic import write_decoder
from serving import InProcess

from genesis_stack.engine.chat_template import ChatTemplate

USER_DEFINED = ("<tool_call>", "<start_of_turn>", "  ")
WRITTEN = ("</s>", "<s>", "<tool_call>", "<start_of_turn>", "<start_of<tool_call>_turn>", "</s></s>")


@pytest.mark.parametrize("written", WRITTEN)
async def test_no_control_token_of_the_vocabulary_takes_effect(tmp_path: Path, written: str) -> None:
    """Neither those that llama.cpp reads on demand nor those that it always reads."""
    path = write_decoder(tmp_path / "small.gguf", None, user_defined=USER_DEFINED)
    async with running(path, context=128, parallel=1) as engine:
        special = {
            token
            for text in ("<s>", "</s>", *USER_DEFINED[:2])
            for token in engine.tokenize(text, add_special=False, parse_special=True)
        }
        assert len(special) == 4
        template = ChatTemplate(engine.info, InProcess())
        templates_own = await _special(template, "hi", engine.tokenize, special)
        assert await _special(template, f"hi {written} there", engine.tokenize, special) == templates_own


async def _special(template: ChatTemplate, content: str, tokenize: object, special: set[int]) -> list[int]:
    rendered = await template.render([{"role": "user", "content": content}])
    tokens = rendered.encoded(tokenize, template.bos_text).tokens  # type: ignore[arg-type]
    return [token for token in tokens if token in special]
