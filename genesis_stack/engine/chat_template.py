"""Renders a conversation with the model's own chat template, and turns the text into tokens.

The template is code that came with the model file, so it runs in a process of its own
(`template_worker`), with bounds on size, memory and time. The conversation is data that came from a
client, so a control token written in it stays plain text: see `Shield`.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, Self

from genesis_stack.engine.interface import EngineInfo, InvalidRequestError, Token

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For models whose file has no template."""

RENDER_TIMEOUT_S: Final = 5.0
"""Wall-clock seconds for one rendering."""

LONGEST_LINE: Final = 256 * 2**20
"""Bytes of one message on the pipe; requests are bounded long before."""

_WORKER: Final = Path(__file__).with_name("template_worker.py")


class Tokenize(Protocol):
    """`Engine.tokenize`."""

    def __call__(self, text: str, *, add_special: bool, parse_special: bool) -> list[Token]:
        """Token ids of a text."""


class TemplateError(InvalidRequestError):
    """The template refused the messages, failed on them, or broke its bounds."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="messages")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt's text in which every control token that a client wrote is replaced by a placeholder."""

    text: str
    placeholders: Mapping[str, str]

    def continued(self, text: str) -> Rendered:
        """The same prompt with the beginning of the assistant's answer."""
        return Rendered(self.text + text, self.placeholders)

    def tokens(self, tokenize: Tokenize, bos_text: str) -> list[Token]:
        """Token ids: control tokens of the template count as such, those of the client are spelled out.

        A template that writes the beginning-of-sequence token itself gets no second one.
        """
        add_special = not (bos_text and self.text.startswith(bos_text))
        if not self.placeholders:
            return tokenize(self.text, add_special=add_special, parse_special=True)
        tokens: list[Token] = []
        for number, piece in enumerate(re.split(f"({'|'.join(self.placeholders)})", self.text)):
            spelled_out = self.placeholders.get(piece)
            if spelled_out is not None:
                tokens += tokenize(spelled_out, add_special=False, parse_special=False)
            elif piece or number == 0:
                tokens += tokenize(piece, add_special=add_special and number == 0, parse_special=True)
        return tokens


@dataclass(slots=True)
class Shield:
    """Takes control tokens out of a client's text before the template sees it.

    Each one becomes a placeholder that nobody can guess (128 random bits), made of letters and digits
    so that no filter of a template alters it. After rendering it is tokenized as plain text.
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
        placeholder = f"x{secrets.token_hex(16)}x"
        self.placeholders[placeholder] = match[0]
        return placeholder


class ChatTemplate:
    """The template of one model, with the process that renders it."""

    def __init__(self, info: EngineInfo) -> None:
        self.source = info.chat_template or CHATML
        self.bos_text = info.bos_text
        self._eos_text = info.eos_text
        longest_first = sorted(filter(None, info.control_tokens), key=len, reverse=True)
        self._control_tokens = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._worker: _Worker | None = None
        self._turn = asyncio.Lock()

    async def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Rendered:
        """The prompt up to where the assistant speaks. Raises TemplateError.

        `messages` and `tools` are OpenAI's objects, `arguments` further variables of the template.
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
        return Rendered(await self._text(variables), shield.placeholders)

    async def start(self) -> None:
        """Start the worker and check that the template compiles. Raises TemplateError."""
        async with self._turn:
            await self._running_worker()

    async def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            await self._worker.kill()
            self._worker = None

    async def _text(self, variables: Mapping[str, Any]) -> str:
        async with self._turn:
            worker = await self._running_worker()
            try:
                async with asyncio.timeout(RENDER_TIMEOUT_S):
                    return await worker.ask(variables)
            except TemplateError:
                raise
            except BaseException as exc:
                await self.close()
                if isinstance(exc, TimeoutError):
                    raise TemplateError(
                        "The model's chat template takes too long on these messages."
                    ) from None
                if isinstance(exc, OSError | EOFError):
                    raise TemplateError("The model's chat template failed on these messages.") from None
                raise

    async def _running_worker(self) -> _Worker:
        if self._worker is None:
            self._worker = await _Worker.start()
            await self._worker.ask({"source": self.source})
        return self._worker


@dataclass(frozen=True, slots=True)
class _Worker:
    """The other end: one JSON object a line, there and back."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(cls) -> Self:
        ours, theirs = socket.socketpair()
        with theirs:
            argv = [sys.executable, "-I", str(_WORKER)]
            process = await asyncio.to_thread(_started, argv, theirs)
        reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
        return cls(process, reader, writer)

    async def ask(self, message: Mapping[str, Any]) -> str:
        self.writer.write(json.dumps(message).encode() + b"\n")
        await self.writer.drain()
        line = await self.reader.readline()
        if not line:
            raise EOFError
        answer = json.loads(line)
        if "error" in answer:
            raise TemplateError(f"The model's chat template refuses these messages: {answer['error']}")
        return str(answer["text"])

    async def kill(self) -> None:
        self.process.kill()
        self.writer.close()
        await asyncio.to_thread(self.process.wait)


def _started(argv: list[str], pipe: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdin=pipe.fileno(), stdout=pipe.fileno())
