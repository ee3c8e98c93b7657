"""The body of POST /v1/chat/completions, and the conversation that it describes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from genesis_stack.server.guard.identifier import Identifier
from genesis_stack.server.guard.passage import Passage
from genesis_stack.server.json_body import StrictModel
from genesis_stack.server.sampling import JsonObject, SamplingFields, TokenLimit

MAX_MESSAGES: Final = 2048
"""Messages of one conversation."""

MAX_TOOLS: Final = 128
"""Tools of one request, as OpenAI's."""

MAX_PARTS: Final = 256
"""Content parts of one message."""

ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]{1,64}$")]


class TextPart(StrictModel):
    """A piece of a message's text."""

    type: Literal["text"]
    text: str


class ImageUrl(StrictModel):
    """Where an image is; see `guard.image` for which are taken."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(StrictModel):
    """An image; refused with the reason where the model reads text only."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class CalledFunction(StrictModel):
    """A function call that the assistant made; `arguments` is JSON text."""

    name: ToolName
    arguments: str


class ToolCall(StrictModel):
    """An earlier tool call, sent back as part of the conversation."""

    id: Identifier
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(StrictModel):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)] | None = None
    reasoning_content: str | None = None
    name: Identifier | None = None
    tool_calls: list[ToolCall] | None = Field(None, max_length=MAX_TOOLS)
    tool_call_id: Identifier | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("a message needs content, unless it is the assistant's with tool_calls")
        return self

    def passages(self, param: str) -> Iterator[Passage]:
        """Its text, for the guard; what is the user's or a tool's is not trusted."""
        trusted = self.role not in {"user", "tool"}
        content = self.content or ""
        if not isinstance(content, str):
            content = "".join(part.text for part in content if isinstance(part, TextPart))
        yield Passage(content, f"{param}.content", trusted)
        if self.reasoning_content:
            yield Passage(self.reasoning_content, f"{param}.reasoning_content", trusted)
        for number, call in enumerate(self.tool_calls or ()):
            yield Passage(call.function.arguments, f"{param}.tool_calls[{number}]", trusted)


class Function(StrictModel):
    """A function that the model may call; `parameters` is its JSON schema."""

    name: ToolName
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class Tool(StrictModel):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: Function


class NamedFunction(StrictModel):
    """The name inside a named tool choice."""

    name: ToolName


class NamedToolChoice(StrictModel):
    """The one function that must be called."""

    type: Literal["function"]
    function: NamedFunction


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice


class JsonSchemaFormat(StrictModel):
    """A named JSON schema; aliased because pydantic's models own the name `schema`."""

    name: Annotated[Identifier, Field(max_length=64)]
    schema_: JsonObject | None = Field(None, alias="schema")
    strict: bool | None = None


class TextFormat(StrictModel):
    """Free text."""

    type: Literal["text"]


class JsonObjectFormat(StrictModel):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchemaResponse(StrictModel):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchemaFormat


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaResponse, Field(discriminator="type")]


class ChatRequest(SamplingFields):
    """A chat completion, by OpenAI's names."""

    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: list[Tool] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    chat_template_kwargs: JsonObject | None = Field(None, max_length=16)

    @model_validator(mode="after")
    def _top_logprobs_need_logprobs(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    def passages(self) -> Iterator[Passage]:
        """All text that the template gets, for the guard."""
        for number, message in enumerate(self.messages):
            yield from message.passages(f"messages[{number}]")
        for number, tool in enumerate(self.tools or ()):
            yield Passage(tool.model_dump_json(), f"tools[{number}]", trusted=True)
        if self.chat_template_kwargs:
            yield Passage(json.dumps(self.chat_template_kwargs), "chat_template_kwargs", trusted=True)

    def images(self) -> Iterator[tuple[str, str]]:
        """The field and the URL of each image."""
        for number, message in enumerate(self.messages):
            parts = message.content if isinstance(message.content, list) else ()
            for place, part in enumerate(parts):
                if isinstance(part, ImagePart):
                    yield f"messages[{number}].content[{place}]", part.image_url.url

    @property
    def token_limit(self) -> int | None:
        """`max_completion_tokens`, or the older `max_tokens`."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def top_logprob_count(self) -> int | None:
        """How many alternatives are asked for; None when no log probabilities are."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def json_schema(self) -> str | None:
        """The schema that the answer must fit, as JSON text, if any."""
        match self.response_format:
            case JsonObjectFormat():
                return '{"type":"object"}'
            case JsonSchemaResponse(json_schema=JsonSchemaFormat(schema_=schema)):
                return json.dumps(schema or {"type": "object"}, ensure_ascii=False)
            case _:
                return None
