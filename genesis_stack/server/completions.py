"""POST /v1/completions: raw text in, raw text out, control tokens in the prompt included."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from genesis_stack.engine.interface import ChosenLogprob, Engine, Token
from genesis_stack.server.choice_parser import ChoiceParser
from genesis_stack.server.collected import Choice, Completion, collect
from genesis_stack.server.disconnect import unless_gone
from genesis_stack.server.endpoint import JsonResponse, adapter_of, body_of, client_of, new_id, served_of
from genesis_stack.server.errors import bad_request
from genesis_stack.server.exchange import exchange_of
from genesis_stack.server.generation import Job, Update, run
from genesis_stack.server.guard.passage import Passage
from genesis_stack.server.pieces import Text
from genesis_stack.server.sampling import SamplingFields, TokenLimit
from genesis_stack.server.served_model import ServedModel
from genesis_stack.server.shapes import Json, text_logprobs, timings_object, usage_object
from genesis_stack.server.sse import DONE, EventStream

MAX_PROMPTS: Final = 32
"""Prompts of one request."""

DEFAULT_MAX_TOKENS: Final = 16
"""OpenAI's default of this endpoint."""

TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Prompt = (
    str
    | Annotated[list[str], Field(max_length=MAX_PROMPTS)]
    | list[TokenId]
    | Annotated[list[list[TokenId]], Field(max_length=MAX_PROMPTS)]
)


class CompletionRequest(SamplingFields):
    """A text completion, by OpenAI's names."""

    prompt: Prompt
    max_tokens: TokenLimit | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool | None = None
    suffix: str | None = Field(None, max_length=0)

    def passages(self) -> Iterator[Passage]:
        """The prompts that are text, for the guard."""
        for prompt in prompt_list(self.prompt):
            if isinstance(prompt, str):
                yield Passage(prompt, "prompt")

    def images(self) -> tuple[()]:
        """None: this endpoint takes text."""
        return ()


async def create_completion(request: Request) -> Response:
    """Continue one or several prompts, whole or streamed."""
    served = served_of(request)
    asked = await body_of(request, CompletionRequest)
    engine = served.engine
    prompts = [await encoded(prompt, engine) for prompt in prompt_list(asked.prompt)]
    shape = _Shape.of(asked, prompts, served)
    job = Job(
        id=shape.id,
        prompts=prompts,
        sampling=asked.sampling(
            max_tokens=asked.max_tokens or DEFAULT_MAX_TOKENS, top_logprobs=asked.logprobs
        ),
        new_parser=_plain,
        client=client_of(request, asked.user),
        timeout_s=served.config.limits.request_timeout_s,
        n=asked.n or 1,
        adapter=adapter_of(served, asked.model),
    )
    updates = run(job, engine, exchange_of(request.scope))
    if asked.stream:
        return EventStream(_events(updates, shape, includes_usage=asked.includes_usage))
    completion = await unless_gone(request.receive, collect(updates))
    return JsonResponse(shape.completion(completion))


def prompt_list(prompt: Prompt, *, param: str = "prompt") -> list[str | list[Token]]:
    """The prompts one by one; raises HttpError 400 for an empty one."""
    match prompt:
        case str(text):
            prompts: list[Any] = [text]
        case [int(), *_]:
            prompts = [prompt]
        case several:
            prompts = list(several)
    if not prompts or not all(prompts):
        raise bad_request(f"{param}: it is empty.", param=param)
    return prompts


async def encoded(
    prompt: str | Sequence[Token], engine: Engine, *, param: str = "prompt", parse_special: bool = True
) -> Sequence[Token]:
    """Token ids of a raw prompt, off the event loop; raises HttpError 400 for ids beyond the vocabulary.

    Without `parse_special` a control token that is written in the text stays text.
    """
    if isinstance(prompt, str):
        return await asyncio.to_thread(engine.tokenize, prompt, add_special=True, parse_special=parse_special)
    if max(prompt) >= engine.info.n_vocab:
        raise bad_request(f"{param}: token ids end at {engine.info.n_vocab - 1}.", param=param)
    return prompt


def _plain() -> ChoiceParser:
    return ChoiceParser(
        reasoning_opened=None, dialect=None, tool_names=(), forced_call=False, single_call=False
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """The objects of one answer; `echoes` is the text before each choice."""

    id: str
    created: int
    model: str
    fingerprint: str
    echoes: Sequence[str]

    @classmethod
    def of(cls, asked: CompletionRequest, prompts: Sequence[Sequence[Token]], served: ServedModel) -> _Shape:
        texts = [served.engine.detokenize(prompt) if asked.echo else "" for prompt in prompts]
        echoes = [text for text in texts for _ in range(asked.n or 1)]
        return cls(new_id("cmpl-"), int(time.time()), asked.model, served.fingerprint, echoes)

    def fields(self) -> Json:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }

    def completion(self, completion: Completion) -> Json:
        body = self.fields()
        body["choices"] = [self._whole(index, choice) for index, choice in completion.in_order()]
        body["usage"] = usage_object(completion.usage)
        if completion.timings is not None:
            body["timings"] = timings_object(completion.timings, completion.usage)
        return body

    def _whole(self, index: int, choice: Choice) -> Json:
        echo = self.echoes[index]
        return text_choice(index, echo + choice.text, choice.logprobs, len(echo), choice.finish)


def text_choice(
    index: int, text: str, logprobs: Sequence[ChosenLogprob], offset: int, finish: str | None
) -> Json:
    """A choice or its next part."""
    return {
        "index": index,
        "text": text,
        "logprobs": text_logprobs(logprobs, offset) if logprobs else None,
        "finish_reason": finish,
    }


async def _events(
    updates: AsyncGenerator[Update], shape: _Shape, *, includes_usage: bool
) -> AsyncGenerator[bytes]:
    """The chunks of a streamed answer: text alone is held back only while it is empty."""
    before = b"data: " + to_json(shape.fields())[:-1] + b',"choices":['
    after = b'],"usage":null}\n\n' if includes_usage else b"]}\n\n"
    echoes = dict(enumerate(shape.echoes))
    offsets = [len(echo) for echo in shape.echoes]
    async with aclosing(updates):
        async for update in updates:
            index = update.index
            text = "".join(piece.text for piece in update.pieces if isinstance(piece, Text))
            if text or update.finish or update.logprobs:
                choice = text_choice(
                    index, echoes.pop(index, "") + text, update.logprobs, offsets[index], update.finish
                )
                offsets[index] += len(text)
                yield before + to_json(choice) + after
            if update.usage is not None and includes_usage:
                body = {**shape.fields(), "choices": [], "usage": usage_object(update.usage)}
                yield b"data: " + to_json(body) + b"\n\n"
    yield DONE
