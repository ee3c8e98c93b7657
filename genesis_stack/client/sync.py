"""SyncLocalLLMClient: the same client for programs without an event loop.

Its calls run on the event loop of one background thread (anyio's blocking portal), so there is one
implementation of everything: docs/adr says why. It may be used from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from genesis_stack.client.client import LocalLLMClient
from genesis_stack.client.errors import ClosedError
from genesis_stack.client.results import Chunk, Completion, Embeddings, Health, ModelInfo, Structured

if TYPE_CHECKING:
    from concurrent.futures import Future

    from anyio.from_thread import BlockingPortal
    from pydantic import BaseModel

    from genesis_stack.client.batch import BatchResult
    from genesis_stack.client.config import LocalLLMConfig
    from genesis_stack.client.ensemble import Accept, EnsembleResult, Strategy
    from genesis_stack.client.images import ImageSource
    from genesis_stack.client.messages import Messages
    from genesis_stack.client.options import ChatOptions, Options, ToolOptions
    from genesis_stack.client.streaming import Stream
    from genesis_stack.client.tools import Tool

Result = TypeVar("Result")
Schema = TypeVar("Schema", bound="BaseModel")


class SyncStream:
    """An answer that is on its way: iterate over its chunks; `result` is the whole once they have ended."""

    def __init__(self, stream: Stream, ahead: SimpleQueue[Chunk | Exception | None]) -> None:
        self._stream = stream
        self._ahead = ahead

    def __iter__(self) -> Iterator[Chunk]:
        while (item := self._ahead.get()) is not None:
            if isinstance(item, Exception):
                self._ahead.put(None)
                raise item
            yield item
        self._ahead.put(None)  # whoever iterates again sees the end again

    @property
    def partial(self) -> Completion:
        """The answer as far as it has arrived."""
        return self._stream.partial

    @property
    def result(self) -> Completion:
        """The whole answer; RuntimeError before its end."""
        return self._stream.result


class SyncLocalLLMClient:
    """Asks language models on your own servers, without async; see LocalLLMClient, method by method.

    with SyncLocalLLMClient("http://127.0.0.1:8000") as client:
        print(client.complete_text("Name three colours.").text)
    """

    def __init__(self, config: LocalLLMConfig | str | None = None, **settings: Any) -> None:
        self._client = LocalLLMClient(config, **settings)
        self._stack: ExitStack | None = None
        self._portal: BlockingPortal | None = None

    @classmethod
    def from_stack(cls, path: str | Path, *, client: str | None = None, **settings: Any) -> Self:
        """A client of everything that a stack file serves; see LocalLLMClient."""
        from genesis_stack.client.stackfile import config_from_stack

        return cls(config_from_stack(path, client, settings))

    @property
    def config(self) -> LocalLLMConfig:
        """The settings in force."""
        return self._client.config

    def __enter__(self) -> Self:
        from anyio.from_thread import start_blocking_portal

        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal("asyncio", name="genesis-llm"))
            stack.enter_context(self._portal.wrap_async_context_manager(self._client))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the background thread."""
        stack, self._stack, self._portal = self._stack, None, None
        if stack is not None:
            stack.close()

    def complete_text(
        self, prompt: str, *, system: str | None = None, **options: Unpack[ChatOptions]
    ) -> Completion:
        """Answer one prompt, with a system prompt before it if one is given."""
        return self._run(lambda: self._client.complete_text(prompt, system=system, **options))

    def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """Answer a conversation."""
        return self._run(lambda: self._client.chat(messages, **options))

    def stream(
        self, messages: Messages, **options: Unpack[ChatOptions]
    ) -> AbstractContextManager[SyncStream]:
        """Answer a conversation piece by piece: `with client.stream(...) as s: for chunk in s: ...`."""
        return self._streamed(messages, options)

    def describe_image(
        self, image: ImageSource, prompt: str = "Describe this image.", **options: Unpack[ChatOptions]
    ) -> Completion:
        """Answer a question about an image."""
        return self._run(lambda: self._client.describe_image(image, prompt, **options))

    def structured(
        self, messages: Messages, schema: type[Schema], **options: Unpack[ChatOptions]
    ) -> Structured[Schema]:
        """Answer as an object of a pydantic model."""
        return self._run(lambda: self._client.structured(messages, schema, **options))

    def run_tools(
        self,
        messages: Messages,
        tools: Sequence[Tool | Callable[..., Any]],
        *,
        max_rounds: int = 8,
        **options: Unpack[ToolOptions],
    ) -> Completion:
        """Answer a conversation with the help of Python functions."""
        return self._run(lambda: self._client.run_tools(messages, tools, max_rounds=max_rounds, **options))

    def complete_batch(
        self,
        prompts: Sequence[Messages],
        *,
        concurrency: int = 8,
        progress: bool | None = None,
        **options: Unpack[ChatOptions],
    ) -> BatchResult:
        """Answer many prompts, in their order."""
        return self._run(
            lambda: self._client.complete_batch(
                prompts, concurrency=concurrency, progress=progress, **options
            )
        )

    def ensemble(
        self,
        prompt: str,
        models: Sequence[str],
        *,
        strategy: Strategy = "majority",
        judge: str | None = None,
        accept: Accept | None = None,
        system: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> EnsembleResult:
        """Let several models answer, and choose."""
        return self._run(
            lambda: self._client.ensemble(
                prompt, models, strategy=strategy, judge=judge, accept=accept, system=system, **options
            )
        )

    def embed(self, texts: str | Sequence[str], **options: Unpack[Options]) -> Embeddings:
        """One vector a text, in order."""
        return self._run(lambda: self._client.embed(texts, **options))

    def tokenize(self, text: str, **options: Unpack[Options]) -> tuple[int, ...]:
        """The tokens of a text, as the model counts them."""
        return self._run(lambda: self._client.tokenize(text, **options))

    def models(self) -> tuple[ModelInfo, ...]:
        """What the servers offer."""
        return self._run(self._client.models)

    def health(self) -> tuple[Health, ...]:
        """How every server is."""
        return self._run(self._client.health)

    def _started(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Future[Result]:
        if self._portal is None:
            raise ClosedError("this client is not open")
        return self._portal.start_task_soon(work)

    def _run(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """The result of a call; Ctrl-C cancels it on the other side too."""
        future = self._started(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @contextmanager
    def _streamed(self, messages: Messages, options: ChatOptions) -> Iterator[SyncStream]:
        """The stream is read ahead on the loop, so that a chunk costs a queue and no turn of two threads."""
        ahead: SimpleQueue[Chunk | Exception | None] = SimpleQueue()
        opened: SimpleQueue[Stream | None] = SimpleQueue()

        async def pump() -> None:
            try:
                async with self._client.stream(messages, **options) as stream:
                    opened.put(stream)
                    await _pump(stream, ahead)
            finally:
                opened.put(None)

        pumping = self._started(pump)
        try:
            stream = opened.get()
            if stream is None:
                pumping.result()
                raise ClosedError("this client was closed while it waited for an answer")
            yield SyncStream(stream, ahead)
        finally:
            if not pumping.done():
                pumping.cancel()


async def _pump(stream: Stream, ahead: SimpleQueue[Chunk | Exception | None]) -> None:
    try:
        async for chunk in stream:
            ahead.put(chunk)
    except Exception as failure:  # it is raised where the answer is read
        ahead.put(failure)
        raise
    finally:
        ahead.put(None)
