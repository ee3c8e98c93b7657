"""The parent's side of `template_worker`: a process that renders one template within bounds of time."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from genesis_stack.engine.interface import InvalidRequestError

RENDER_TIMEOUT_S: Final = 5.0
"""Wall-clock seconds for one rendering, a new process included."""

LONGEST_LINE: Final = 256 * 2**20
"""Bytes of one message on the pipe; requests are bounded long before."""

_WORKER: Final = Path(__file__).with_name("template_worker.py")


class TemplateError(InvalidRequestError):
    """The template refused the messages, failed on them, or broke its bounds."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="messages")


class TemplateProcess:
    """Renders in a process that is killed, and replaced, when it takes too long or dies."""

    def __init__(self) -> None:
        self._pipe: _Pipe | None = None
        self._compiled: str | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Start the process ahead of its first use."""
        async with self._turn:
            if self._pipe is None:
                self._pipe = await _Pipe.opened()

    async def render(self, source: str, variables: Mapping[str, Any]) -> str:
        """The template's output; one at a time. Raises TemplateError."""
        async with self._turn:
            try:
                async with asyncio.timeout(RENDER_TIMEOUT_S):
                    return await self._rendered(source, variables)
            except TimeoutError:
                await self._end()
                raise TemplateError("The chat template takes too long on these messages.") from None
            except (OSError, EOFError):
                await self._end()
                raise TemplateError("The chat template failed on these messages.") from None
            except asyncio.CancelledError:
                await self._end()
                raise

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._end()

    async def _rendered(self, source: str, variables: Mapping[str, Any]) -> str:
        if self._pipe is None:
            self._pipe = await _Pipe.opened()
        if self._compiled != source:
            await self._pipe.ask({"source": source})
            self._compiled = source
        return await self._pipe.ask({"variables": variables})

    async def _end(self) -> None:
        pipe, self._pipe, self._compiled = self._pipe, None, None
        if pipe is not None:
            await pipe.kill()


@dataclass(frozen=True, slots=True)
class _Pipe:
    """One JSON object a line, there and back."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def opened(cls) -> Self:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.to_thread(_started, theirs.fileno())
        reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
        return cls(process, reader, writer)

    async def ask(self, message: Mapping[str, Any]) -> str:
        """The worker's answer. Raises TemplateError for its refusals, EOFError if it died."""
        self.writer.write(json.dumps(message).encode() + b"\n")
        await self.writer.drain()
        line = await self.reader.readline()
        if not line:
            raise EOFError
        answer = json.loads(line)
        if "error" in answer:
            raise TemplateError(f"The chat template refuses these messages: {answer['error']}")
        return str(answer["text"])

    async def kill(self) -> None:
        self.process.kill()
        self.writer.close()
        await asyncio.to_thread(self.process.wait)


def _started(pipe: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", str(_WORKER)], stdin=pipe, stdout=pipe)
