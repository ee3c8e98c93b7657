"""Renders a conversation with the model's own chat template, and turns the text into tokens.

The template is code that came with the model file, so it runs in a process of its own
(`TemplateProcess`), with bounds on size, memory and time. The conversation is data that came from a
client, so a control token written in it stays plain text: see `Shield`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from genesis_stack.engine.interface import EngineInfo, ImagePrompt, ImageSpan, Token
from genesis_stack.engine.template_process import TemplateProcess

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For models whose file has no template."""


class Tokenize(Protocol):
    """`Engine.tokenize`."""

    def __call__(self, text: str, *, add_special: bool, parse_special: bool) -> list[Token]:
        """Token ids of a text."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt's token ids, and where images stand among them."""

    tokens: list[Token]
    images: tuple[ImageSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt's text with placeholders: for every control token that a client wrote, and for images."""

    text: str
    placeholders: Mapping[str, str]
    images: Mapping[str, ImagePrompt] = field(default_factory=dict)

    def continued(self, text: str) -> Rendered:
        """The same prompt with the beginning of the assistant's answer."""
        return replace(self, text=self.text + text)

    def encoded(self, tokenize: Tokenize, bos_text: str) -> Encoded:
        """Token ids: control tokens of the template count as such, those of the client are spelled out.

        A template that writes the beginning-of-sequence token itself gets no second one.
        """
        add_special = not (bos_text and self.text.startswith(bos_text))
        marks = [*self.placeholders, *self.images]
        if not marks:
            return Encoded(tokenize(self.text, add_special=add_special, parse_special=True))
        tokens: list[Token] = []
        spans: list[ImageSpan] = []
        for number, piece in enumerate(re.split(f"({'|'.join(marks)})", self.text)):
            if piece in self.images:
                spans += self.images[piece].at(len(tokens))
                tokens += self.images[piece].tokens
            elif piece in self.placeholders:
                tokens += _spelled_out(self.placeholders[piece], tokenize)
            elif piece or number == 0:
                tokens += tokenize(piece, add_special=add_special and number == 0, parse_special=True)
        return Encoded(tokens, tuple(spans))


def _spelled_out(text: str, tokenize: Tokenize) -> list[Token]:
    """A control token's text as the tokens of its characters.

    llama.cpp reads tokens of the kind "user defined" whether control tokens are asked for or not. Where one
    of those is markup (`<tool_call>`, `<start_of_turn>` in some files) its first character is set apart;
    white space is no markup.
    """
    tokens = tokenize(text, add_special=False, parse_special=False)
    if len(tokens) > 1 or not text.strip():
        return tokens
    apart = (text[:1], text[1:])
    return [token for part in apart for token in tokenize(part, add_special=False, parse_special=False)]


def placeholder() -> str:
    """A word that nobody guesses (128 random bits), of letters and digits, so that no template alters it."""
    return f"x{secrets.token_hex(16)}x"


@dataclass(slots=True)
class Shield:
    """Takes control tokens out of a client's text before the template sees it.

    Each one becomes a placeholder; after rendering it is tokenized as plain text.
    """

    control_tokens: re.Pattern[str] | None
    placeholders: dict[str, str] = field(default_factory=dict)

    def over(self, value: Any) -> Any:
        """The same JSON value with every string shielded, names of fields included."""
        match value:
            case str():
                return value if self.control_tokens is None else self.control_tokens.sub(self._swap, value)
            case Mapping():
                return {self.over(key): self.over(item) for key, item in value.items()}
            case list() | tuple():
                return [self.over(item) for item in value]
            case _:
                return value

    def _swap(self, match: re.Match[str]) -> str:
        mark = placeholder()
        self.placeholders[mark] = match[0]
        return mark


class ChatTemplate:
    """The template of one model, rendered by `process`."""

    def __init__(self, info: EngineInfo, process: TemplateProcess) -> None:
        self.source = info.chat_template or CHATML
        self.bos_text = info.bos_text
        self._eos_text = info.eos_text
        longest_first = sorted(filter(None, info.control_tokens), key=len, reverse=True)
        self._control_tokens = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._process = process

    async def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        arguments: Mapping[str, Any] | None = None,
        images: Mapping[str, ImagePrompt] | None = None,
    ) -> Rendered:
        """The prompt up to where the assistant speaks. Raises TemplateError.

        `messages` and `tools` are OpenAI's objects, `arguments` further variables of the template. `images`
        are what stands in the messages' texts as a `placeholder` each.
        """
        shield = Shield(self._control_tokens)
        variables = {
            **shield.over(arguments or {}),
            "messages": shield.over(messages),
            "tools": shield.over(tools) if tools else None,
            "bos_token": self.bos_text,
            "eos_token": self._eos_text,
            "add_generation_prompt": True,
        }
        text = await self._process.render(self.source, variables)
        return Rendered(text, shield.placeholders, images or {})
