"""POST /v1/responses: the chat pipeline in the shapes of OpenAI's newer API."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from genesis_stack.engine.interface import Usage
from genesis_stack.server.chat import chat_job
from genesis_stack.server.disconnect import unless_gone
from genesis_stack.server.endpoint import JsonResponse, body_of, new_id, served_of
from genesis_stack.server.exchange import exchange_of
from genesis_stack.server.generation import Update, run
from genesis_stack.server.responses_output import ResponseOutput
from genesis_stack.server.responses_request import ResponsesRequest
from genesis_stack.server.shapes import Json
from genesis_stack.server.sse import EventStream, event


async def create_response(request: Request) -> Response:
    """Answer an input, whole or as a stream of typed events."""
    served = served_of(request)
    asked = await body_of(request, ResponsesRequest)
    answer = _Answer(asked, new_id("resp_"), int(time.time()))
    job = await chat_job(asked.as_chat(), served, request, answer.id)
    updates = run(job, served.engine, exchange_of(request.scope))
    if asked.stream:
        return EventStream(_events(updates, answer))
    return JsonResponse(await unless_gone(request.receive, _whole(updates, answer)))


@dataclass(frozen=True, slots=True)
class _Answer:
    """The response object: the request's settings around the output."""

    asked: ResponsesRequest
    id: str
    created: int

    def begun(self) -> Json:
        return self._object("in_progress", [])

    def ended(self, output: ResponseOutput, last: Update) -> Json:
        """The final object; cut short by its length it is incomplete."""
        cut = last.finish == "length"
        body = self._object("incomplete" if cut else "completed", output.items)
        if cut:
            body["incomplete_details"] = {"reason": "max_output_tokens"}
        body["usage"] = None if last.usage is None else _usage(last.usage)
        return body

    def _object(self, status: str, output: list[Json]) -> Json:
        asked = self.asked
        choice = asked.tool_choice or "auto"
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "metadata": asked.metadata or {},
            "model": asked.model,
            "output": output,
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": None,
            "store": False,
            "temperature": 1.0 if asked.temperature is None else asked.temperature,
            "text": {"format": _format(asked)},
            "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
            "tools": [tool.model_dump() for tool in asked.tools or ()],
            "top_p": 1.0 if asked.top_p is None else asked.top_p,
            "truncation": "disabled",
            "usage": None,
            "user": asked.user,
        }


def _format(asked: ResponsesRequest) -> Json:
    given = asked.text.format if asked.text else None
    return {"type": "text"} if given is None else given.model_dump(by_alias=True)


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


async def _whole(updates: AsyncGenerator[Update], answer: _Answer) -> Json:
    output = ResponseOutput()
    async with aclosing(updates):
        async for update in updates:
            for piece in update.pieces:
                output.feed(piece)
            if update.usage is not None:
                output.close()
                return answer.ended(output, update)
    raise AssertionError("the engine's last delta carries the usage")


async def _events(updates: AsyncGenerator[Update], answer: _Answer) -> AsyncGenerator[bytes]:
    """Events numbered through; nothing is sent before the engine has given its first sign."""
    output = ResponseOutput()
    begun = answer.begun()
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    number = 0
    async with aclosing(updates):
        async for update in updates:
            for piece in update.pieces:
                events += output.feed(piece)
            if update.usage is not None:
                events += output.close()
                ended = answer.ended(output, update)
                events.append({"type": f"response.{ended['status']}", "response": ended})
            yield b"".join(
                event({**fields, "sequence_number": number + place}, str(fields["type"]))
                for place, fields in enumerate(events)
            )
            number += len(events)
            events = []
