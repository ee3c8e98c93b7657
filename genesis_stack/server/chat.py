"""POST /v1/chat/completions."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from genesis_stack.engine.interface import ChosenLogprob
from genesis_stack.server.chat_request import ChatRequest
from genesis_stack.server.collected import Choice, Completion, collect
from genesis_stack.server.conversation import prompt_of
from genesis_stack.server.disconnect import unless_gone
from genesis_stack.server.endpoint import JsonResponse, adapter_of, body_of, client_of, new_id, served_of
from genesis_stack.server.exchange import exchange_of
from genesis_stack.server.generation import Job, Update, run
from genesis_stack.server.pieces import CallArguments, CallStart, Piece, Reasoning, Text
from genesis_stack.server.served_model import ServedModel
from genesis_stack.server.shapes import Json, chat_logprobs, timings_object, usage_object
from genesis_stack.server.sse import DONE, EventStream


async def create_chat_completion(request: Request) -> Response:
    """Answer a conversation, whole or streamed."""
    served = served_of(request)
    chat = await body_of(request, ChatRequest)
    head = Head.of(served, chat.model)
    updates = run(await chat_job(chat, served, request, head.id), served.engine, exchange_of(request.scope))
    if chat.stream:
        return EventStream(_events(updates, head, includes_usage=chat.includes_usage))
    completion = await unless_gone(request.receive, collect(updates))
    return JsonResponse(_completion(completion, head))


async def chat_job(chat: ChatRequest, served: ServedModel, request: Request, job_id: str) -> Job:
    """What a chat request asks of the engine; raises HttpError and EngineError."""
    max_pixels = served.config.guard.max_pixels
    prompt = await prompt_of(chat, served.template, served.engine, max_pixels=max_pixels)
    return Job(
        id=job_id,
        prompts=[prompt.tokens],
        images=prompt.images,
        adapter=adapter_of(served, chat.model),
        sampling=prompt.sampling,
        new_parser=prompt.new_parser,
        client=client_of(request, chat.user),
        timeout_s=served.config.limits.request_timeout_s,
        n=chat.n or 1,
    )


@dataclass(frozen=True, slots=True)
class Head:
    """What is the same in every chunk of an answer."""

    id: str
    created: int
    model: str
    fingerprint: str

    @classmethod
    def of(cls, served: ServedModel, model: str) -> Head:
        """A new answer of this model, by the name it was asked by."""
        return cls(new_id("chatcmpl-"), int(time.time()), model, served.fingerprint)

    def fields(self, kind: str) -> Json:
        """The first fields of an object of this kind."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def _completion(completion: Completion, head: Head) -> Json:
    body = head.fields("chat.completion")
    body["choices"] = [_choice(index, choice) for index, choice in completion.in_order()]
    body["usage"] = usage_object(completion.usage)
    if completion.timings is not None:
        body["timings"] = timings_object(completion.timings, completion.usage)
    return body


def _choice(index: int, choice: Choice) -> Json:
    message: Json = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.calls:
        message["content"] = choice.text or None
        message["tool_calls"] = [
            {
                "id": new_id("call_"),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in choice.calls
        ]
    return {
        "index": index,
        "message": message,
        "logprobs": chat_logprobs(choice.logprobs) if choice.logprobs else None,
        "finish_reason": choice.finish,
    }


async def _events(
    updates: AsyncGenerator[Update], head: Head, *, includes_usage: bool
) -> AsyncGenerator[bytes]:
    """The chunks of a streamed answer."""
    chunks = _Chunks(head, includes_usage=includes_usage)
    async with aclosing(updates):
        async for update in updates:
            if made := chunks.of(update):
                yield made
            if update.usage is not None and includes_usage:
                yield chunks.usage(update)
    yield DONE


_ROLE: Final = {"role": "assistant", "content": ""}


class _Chunks:
    """Writes chunks: all but the choice is rendered once. Log probabilities wait for text to go with."""

    def __init__(self, head: Head, *, includes_usage: bool) -> None:
        self._head = head
        opening = to_json(head.fields("chat.completion.chunk"))
        self._before = b"data: " + opening[:-1] + b',"choices":['
        self._after = b',"usage":null}\n\n' if includes_usage else b"}\n\n"
        self._waiting: dict[int, list[ChosenLogprob]] = {}

    def of(self, update: Update) -> bytes:
        """The events of one update; empty if it has no news."""
        index = update.index
        events = []
        if index not in self._waiting:
            self._waiting[index] = []
            events.append(self._event(index, _ROLE))
        waiting = self._waiting[index]
        waiting += update.logprobs
        for piece in update.pieces:
            events.append(self._event(index, _delta(piece), waiting))
            waiting.clear()
        if update.finish is not None:
            events.append(self._last_event(update, waiting))
        return b"".join(events)

    def usage(self, update: Update) -> bytes:
        """The chunk without choices that ends a stream with `include_usage`."""
        assert update.usage is not None  # noqa: S101 -- for the type checker
        body = self._head.fields("chat.completion.chunk")
        return b"data: " + to_json({**body, "choices": [], "usage": usage_object(update.usage)}) + b"\n\n"

    def _event(self, index: int, delta: Json, logprobs: Sequence[ChosenLogprob] = ()) -> bytes:
        return self._before + to_json(_chunk_choice(index, delta, logprobs, None)) + b"]" + self._after

    def _last_event(self, update: Update, logprobs: Sequence[ChosenLogprob]) -> bytes:
        choice = to_json(_chunk_choice(update.index, {}, logprobs, update.finish)) + b"]"
        if update.usage is not None and update.timings is not None:
            choice += b',"timings":' + to_json(timings_object(update.timings, update.usage))
        return self._before + choice + self._after


def _chunk_choice(index: int, delta: Json, logprobs: Sequence[ChosenLogprob], finish: str | None) -> Json:
    return {
        "index": index,
        "delta": delta,
        "logprobs": chat_logprobs(logprobs) if logprobs else None,
        "finish_reason": finish,
    }


def _delta(piece: Piece) -> dict[str, Any]:
    match piece:
        case Text(text):
            return {"content": text}
        case Reasoning(text):
            return {"reasoning_content": text}
        case CallStart(call, name):
            function = {"name": name, "arguments": ""}
            start = {"index": call, "id": new_id("call_"), "type": "function", "function": function}
            return {"tool_calls": [start]}
        case CallArguments(call, text):
            return {"tool_calls": [{"index": call, "function": {"arguments": text}}]}
