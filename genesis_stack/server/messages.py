"""POST /v1/messages: the chat pipeline in the shape of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from genesis_stack.engine.interface import Usage
from genesis_stack.server.chat import chat_job
from genesis_stack.server.disconnect import unless_gone
from genesis_stack.server.endpoint import JsonResponse, body_of, new_id, served_of
from genesis_stack.server.exchange import exchange_of
from genesis_stack.server.generation import Finish, Update, run
from genesis_stack.server.messages_output import MessageContent
from genesis_stack.server.messages_request import CountRequest, MessagesRequest
from genesis_stack.server.shapes import Json
from genesis_stack.server.sse import EventStream, event

_STOP_REASONS: Final[dict[Finish, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
}


async def create_message(request: Request) -> Response:
    """Answer a conversation, whole or as a stream of typed events."""
    served = served_of(request)
    asked = await body_of(request, MessagesRequest)
    head = _Head(new_id("msg_"), asked.model)
    job = await chat_job(asked.as_chat(), served, request, head.id)
    updates = run(job, served.engine, exchange_of(request.scope))
    if asked.stream:
        return EventStream(_events(updates, head, prompt_tokens=len(job.prompts[0])))
    return JsonResponse(await unless_gone(request.receive, _whole(updates, head)))


async def count_tokens(request: Request) -> Response:
    """How many tokens the prompt of such a message has."""
    served = served_of(request)
    asked = await body_of(request, CountRequest)
    job = await chat_job(asked.as_chat(), served, request, new_id("msg_"))
    return JsonResponse({"input_tokens": len(job.prompts[0])})


@dataclass(frozen=True, slots=True)
class _Head:
    """What is known of a message before its content."""

    id: str
    model: str

    def message(self, content: list[Json], usage: Usage, ending: Json) -> Json:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            **ending,
            "usage": _usage(usage),
        }


_NOT_YET: Final[Json] = {"stop_reason": None, "stop_sequence": None}


def _ending(update: Update) -> Json:
    if update.stop is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": update.stop}
    assert update.finish is not None  # noqa: S101 -- it is the last one
    return {"stop_reason": _STOP_REASONS[update.finish], "stop_sequence": None}


def _usage(usage: Usage) -> Json:
    """Anthropic counts what came from the cache apart."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }


async def _whole(updates: AsyncGenerator[Update], head: _Head) -> Json:
    content = MessageContent()
    async with aclosing(updates):
        async for update in updates:
            for piece in update.pieces:
                content.feed(piece)
            if update.usage is not None:
                content.close()
                return head.message(content.blocks, update.usage, _ending(update))
    raise AssertionError("the engine's last delta carries the usage")


async def _events(
    updates: AsyncGenerator[Update], head: _Head, *, prompt_tokens: int
) -> AsyncGenerator[bytes]:
    """Typed events; nothing is sent before the engine has given its first sign."""
    content = MessageContent()
    begun = head.message([], Usage(prompt_tokens, 0, 0), _NOT_YET)
    events: list[Json] = [{"type": "message_start", "message": begun}]
    async with aclosing(updates):
        async for update in updates:
            for piece in update.pieces:
                events += content.feed(piece)
            if update.usage is not None:
                events += content.close()
                usage = _usage(update.usage)
                events.append({"type": "message_delta", "delta": _ending(update), "usage": usage})
                events.append({"type": "message_stop"})
            yield b"".join(event(fields, str(fields["type"])) for fields in events)
            events = []
