"""LocalLLMClient: what application code imports instead of a cloud SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack, cast

from genesis_stack.client.errors import (
    ClosedError,
    ConfigurationError,
    LocalLLMError,
    MalformedResponseError,
    ToolError,
)
from genesis_stack.client.results import Completion, Embeddings, Health, ModelInfo, Structured, embeddings_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from genesis_stack.client.batch import BatchResult
    from genesis_stack.client.config import LocalLLMConfig
    from genesis_stack.client.ensemble import Accept, EnsembleResult, Strategy
    from genesis_stack.client.images import ImageSource
    from genesis_stack.client.messages import Message, Messages
    from genesis_stack.client.options import ChatOptions, Options, ToolOptions
    from genesis_stack.client.session import Session
    from genesis_stack.client.streaming import Stream
    from genesis_stack.client.tools import Tool

Schema = TypeVar("Schema", bound="BaseModel")

HEALTH_SECONDS: Final = 10.0
"""How long `health` waits for a server before it calls it unreachable."""


class LocalLLMClient:
    """Asks language models on your own servers; async, see SyncLocalLLMClient for its twin.

        async with LocalLLMClient("http://127.0.0.1:8000") as client:
            answer = await client.complete_text("Name three colours.")
            print(answer.text)

    It is set up by an address, by a LocalLLMConfig, by settings as keywords, or by `GENESIS_LLM_*` variables
    alone. Every method raises LocalLLMError and nothing else that is not the caller's own mistake; every
    call may name `model`, or leave the choice to `task` and `tags`.

    Raises:
        ConfigurationError: the settings cannot work.
    """

    def __init__(self, config: LocalLLMConfig | str | None = None, **settings: Any) -> None:
        from genesis_stack.client.config import LocalLLMConfig

        if isinstance(config, str):
            settings["endpoints"] = config
        elif config is not None and settings:
            remedy = "put them into the config, or give keywords alone"
            raise ConfigurationError(f"a config and {', '.join(settings)} beside it", remedy=remedy)
        self._config = config if isinstance(config, LocalLLMConfig) else LocalLLMConfig.build(**settings)
        self._opened: Session | None = None

    @classmethod
    def from_stack(cls, path: str | Path, *, client: str | None = None, **settings: Any) -> Self:
        """A client of everything that a stack file serves, with the limits of the declared `client`.

        Keys are not in the stack: they come from `GENESIS_LLM_API_KEY` or `GENESIS_LLM_HMAC_SECRET`.

        Raises:
            ConfigurationError: the stack is invalid, or declares no such client.
        """
        from genesis_stack.client.stackfile import config_from_stack

        return cls(config_from_stack(path, client, settings))

    @property
    def config(self) -> LocalLLMConfig:
        """The settings in force."""
        return self._config

    async def __aenter__(self) -> Self:
        from genesis_stack.client.session import Session

        self._opened = Session(self._config)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; a client can be opened again."""
        session, self._opened = self._opened, None
        if session is not None:
            await session.close()

    @property
    def _session(self) -> Session:
        if self._opened is None:
            raise ClosedError("this client is not open")
        return self._opened

    async def complete_text(
        self, prompt: str, *, system: str | None = None, **options: Unpack[ChatOptions]
    ) -> Completion:
        """Answer one prompt, with a system prompt before it if one is given."""
        return await self.chat(_turns(prompt, system), **options)

    async def chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Completion:
        """Answer a conversation."""
        return await self._session.complete(messages, options)

    def stream(
        self, messages: Messages, **options: Unpack[ChatOptions]
    ) -> AbstractAsyncContextManager[Stream]:
        """Answer a conversation piece by piece.

            async with client.stream("Tell me a story.") as story:
                async for chunk in story:
                    print(chunk.text, end="")
            print(story.result.usage)

        Before the first token a failure is retried like any other; after it, StreamInterruptedError has what
        came. Leaving the block early stops the model.
        """
        return self._session.stream(messages, options)

    async def describe_image(
        self, image: ImageSource, prompt: str = "Describe this image.", **options: Unpack[ChatOptions]
    ) -> Completion:
        """Answer a question about an image: a path, bytes, a Pillow image, or a URL of an allowed host."""
        from genesis_stack.client.messages import Message

        return await self.chat([Message.user(prompt, image)], **options)

    async def structured(
        self, messages: Messages, schema: type[Schema], **options: Unpack[ChatOptions]
    ) -> Structured[Schema]:
        """Answer as an object of a pydantic model: the server's grammar keeps the model to it.

        Raises:
            StructuredOutputError: the answer was cut short, or breaks a rule that no grammar can hold.
        """
        from genesis_stack.client.structured import response_format, structured

        options["response_format"] = response_format(schema)
        return structured(await self.chat(messages, **options), schema)

    async def run_tools(
        self,
        messages: Messages,
        tools: Sequence[Tool | Callable[..., Any]],
        *,
        max_rounds: int = 8,
        **options: Unpack[ToolOptions],
    ) -> Completion:
        """Answer a conversation with the help of Python functions, which are run as the model calls them.

        Raises:
            ToolError: the model calls a function that is not there, or has not ended after `max_rounds`.
        """
        from genesis_stack.client.messages import Message, listed
        from genesis_stack.client.tools import Toolbox

        toolbox = Toolbox.of(tools)
        offered = cast("ChatOptions", {**options, "tools": toolbox.definitions()})
        turns = listed(messages)
        for _ in range(max_rounds):
            completion = await self.chat(turns, **offered)
            if not completion.tool_calls:
                return completion
            turns.append(Message.answered(completion))
            for call in completion.tool_calls:
                turns.append(Message.tool_result(call, await toolbox.run(call)))
            offered.pop("tool_choice", None)  # a forced call is forced once, or it never ends
        raise ToolError(f"the model still calls tools after {max_rounds} rounds")

    async def complete_batch(
        self,
        prompts: Sequence[Messages],
        *,
        concurrency: int = 8,
        progress: bool | None = None,
        **options: Unpack[ChatOptions],
    ) -> BatchResult:
        """Answer many prompts, `concurrency` at a time; answers and failures come in their order.

        `progress` draws a bar on stderr; None draws it on a terminal only.
        """
        from genesis_stack.client.batch import in_order

        session = self._session
        return await in_order(
            prompts,
            lambda prompt: session.complete(prompt, options),
            concurrency=concurrency,
            progress=progress,
        )

    async def ensemble(
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
        """Let several models answer, one model several times if it is named so, and choose.

        `majority` takes the most common answer, `best_of` what the model `judge` (by default the first)
        prefers, `first_good` the first that `accept` likes.

        Raises:
            EnsembleError: every model failed, or no answer was accepted.
        """
        from genesis_stack.client import ensemble

        async def ask(model: str, run: int) -> Completion:
            seeded: ChatOptions = {**options, "model": model, "seed": options.get("seed", 0) + run}
            return await self.chat(_turns(prompt, system), **seeded)

        async def ask_judge(question: str, schema: type[BaseModel]) -> Structured[BaseModel]:
            asked: ChatOptions = {
                **options,
                "model": judge or models[0],
                "temperature": 0.0,
                "max_tokens": 64,
            }
            return await self.structured(question, schema, **asked)

        good = accept or ensemble.whatever
        match strategy:
            case "majority":
                return await ensemble.majority(models, ask, good)
            case "best_of":
                return await ensemble.best_of(models, ask, good, ask_judge, prompt)
            case "first_good":
                return await ensemble.first_good(models, ask, good)

    async def embed(self, texts: str | Sequence[str], **options: Unpack[Options]) -> Embeddings:
        """One vector a text, in order."""
        body = {"input": [texts] if isinstance(texts, str) else list(texts), "encoding_format": "base64"}
        options.setdefault("task", "embedding")
        answer, origin = await self._session.json("embeddings", "/v1/embeddings", body, options)
        try:
            return embeddings_of(answer, origin)
        except (KeyError, TypeError, ValueError):
            message = f"{origin.endpoint} sent no embeddings"
            raise MalformedResponseError(message, request_id=origin.request_id) from None

    async def tokenize(self, text: str, **options: Unpack[Options]) -> tuple[int, ...]:
        """The tokens of a text, as the model counts them."""
        answer, origin = await self._session.json("tokenize", "/tokenize", {"content": text}, options)
        tokens = answer.get("tokens")
        if not isinstance(tokens, list):
            raise MalformedResponseError(f"{origin.endpoint} sent no tokens", request_id=origin.request_id)
        return tuple(tokens)

    async def models(self) -> tuple[ModelInfo, ...]:
        """What the servers offer; servers that cannot be reached are left out.

        Raises:
            LocalLLMError: none of them can be reached.
        """
        session = self._session
        deadline = session.deadline({})
        urls = list(dict.fromkeys(endpoint.url for endpoint in self._config.endpoints))
        listings = await asyncio.gather(
            *(session.listing(url, deadline) for url in urls), return_exceptions=True
        )
        found, failures = [], []
        for url, listing in zip(urls, listings, strict=True):
            if isinstance(listing, BaseException):
                failures.append(listing)
                continue
            found += [_model_info(model, url) for model in listing]
        for failure in failures:
            if not found or not isinstance(failure, LocalLLMError):
                raise failure
        return tuple(found)

    async def health(self) -> tuple[Health, ...]:
        """How every server is; one that cannot be reached says so instead of raising."""
        from genesis_stack.client.integrity import health

        session = self._session
        deadline = session.deadline({"deadline": HEALTH_SECONDS})
        dispatcher = await session.dispatcher(deadline)
        replicas = dispatcher.replicas.every()
        return tuple(
            await asyncio.gather(*(health(session.transport, replica, deadline) for replica in replicas))
        )


def _turns(prompt: str, system: str | None) -> list[Message]:
    from genesis_stack.client.messages import Message

    return [*([] if system is None else [Message.system(system)]), Message.user(prompt)]


def _model_info(model: dict[str, Any], url: str) -> ModelInfo:
    context = (model.get("meta") or {}).get("n_ctx")
    return ModelInfo(str(model["id"]), url, str(model.get("description") or ""), context)
