"""The body of POST /v1/messages, in the shape of Anthropic's Messages API, read as a chat request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from genesis_stack.server.chat_request import (
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_TOOLS,
    CalledFunction,
    ChatRequest,
    Function,
    ImagePart,
    ImageUrl,
    Message,
    NamedFunction,
    NamedToolChoice,
    Part,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolName,
)
from genesis_stack.server.errors import bad_request
from genesis_stack.server.guard.identifier import Identifier
from genesis_stack.server.guard.passage import Passage
from genesis_stack.server.json_body import ModelRequest, StrictModel
from genesis_stack.server.sampling import MAX_STOPS, JsonObject, StopString, TokenLimit


class TextBlock(StrictModel):
    """A piece of text."""

    type: Literal["text"]
    text: str


class Base64Source(StrictModel):
    """An image inside the request."""

    type: Literal["base64"]
    media_type: Identifier
    data: str


class UrlSource(StrictModel):
    """An image elsewhere; refused with the reason, unless it is a data: URI."""

    type: Literal["url"]
    url: str


class ImageBlock(StrictModel):
    """An image."""

    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource, Field(discriminator="type")]


class ToolUseBlock(StrictModel):
    """A call that the model made earlier."""

    type: Literal["tool_use"]
    id: Identifier
    name: ToolName
    input: JsonObject


ResultPart = Annotated[TextBlock | ImageBlock, Field(discriminator="type")]


class ToolResultBlock(StrictModel):
    """What a tool answered."""

    type: Literal["tool_result"]
    tool_use_id: Identifier
    content: str | Annotated[list[ResultPart], Field(max_length=MAX_PARTS)] = ""
    is_error: bool | None = None


class ThinkingBlock(StrictModel):
    """Earlier thinking of the model."""

    type: Literal["thinking"]
    thinking: str


Block = Annotated[
    TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock, Field(discriminator="type")
]


class Turn(StrictModel):
    """One turn."""

    role: Literal["user", "assistant"]
    content: str | Annotated[list[Block], Field(max_length=MAX_PARTS)]


class ToolDefinition(StrictModel):
    """A tool that the model may use; `input_schema` is the JSON schema of its input."""

    name: ToolName
    description: str | None = None
    input_schema: JsonObject


class AnyChoice(StrictModel):
    """Whether a tool may, must or must not be used."""

    type: Literal["auto", "any", "none"]
    disable_parallel_tool_use: bool | None = None


class OneTool(StrictModel):
    """The one tool that must be used."""

    type: Literal["tool"]
    name: ToolName
    disable_parallel_tool_use: bool | None = None


class Metadata(StrictModel):
    """Whom the request is made for."""

    user_id: Identifier | None = None


class CountRequest(ModelRequest):
    """The body of POST /v1/messages/count_tokens: what a request would ask, without asking it."""

    messages: list[Turn] = Field(min_length=1, max_length=MAX_MESSAGES // 2)
    system: str | Annotated[list[TextBlock], Field(max_length=MAX_PARTS)] | None = None
    tools: list[ToolDefinition] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: Annotated[AnyChoice | OneTool, Field(discriminator="type")] | None = None

    def passages(self) -> Iterator[Passage]:
        """All text that the template gets, for the guard."""
        yield from self.as_chat().passages()

    def images(self) -> Iterator[tuple[str, str]]:
        """The field and the URL of each image."""
        yield from self.as_chat().images()

    def as_chat(self) -> ChatRequest:
        """The same request for the chat pipeline; raises HttpError 400 for turns that are none."""
        choice = self.tool_choice
        try:
            return ChatRequest(
                model=self.model,
                messages=self._messages(),
                tools=[_tool(tool) for tool in self.tools] if self.tools else None,
                tool_choice=_choice(choice),
                parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
            )
        except ValidationError as exc:  # such as turns without content, or calls by the user
            reason = exc.errors(include_url=False, include_input=False)[0]["msg"]
            raise bad_request(f"messages: {reason}", param="messages") from None

    def _messages(self) -> list[Message]:
        system = self.system
        if system is not None and not isinstance(system, str):
            system = "\n\n".join(block.text for block in system)
        first = [Message(role="system", content=system)] if system else []
        return first + [message for turn in self.messages for message in _turn(turn)]


class MessagesRequest(CountRequest):
    """A message, by Anthropic's names."""

    max_tokens: TokenLimit
    stream: bool | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0, le=2**31 - 1)
    stop_sequences: list[StopString] | None = Field(None, max_length=MAX_STOPS)
    metadata: Metadata | None = None

    def as_chat(self) -> ChatRequest:
        """The same request for the chat pipeline."""
        sampling = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "stop": self.stop_sequences,
            "user": self.metadata.user_id if self.metadata else None,
        }
        return super().as_chat().model_copy(update=sampling)


def _turn(turn: Turn) -> Iterator[Message]:
    """A turn as messages: what tools answered comes first, each as a message of its own."""
    if isinstance(turn.content, str):
        yield Message(role=turn.role, content=turn.content)
        return
    calls: list[ToolCall] = []
    parts: list[Part] = []
    thinking = ""
    for block in turn.content:
        match block:
            case ToolResultBlock(tool_use_id=call, content=content):
                yield Message(role="tool", tool_call_id=call, content=_result(content))
            case ToolUseBlock(id=call, name=name, input=given):
                function = CalledFunction(name=name, arguments=json.dumps(given, ensure_ascii=False))
                calls.append(ToolCall(id=call, function=function))
            case ThinkingBlock(thinking=text):
                thinking += text
            case _:
                parts.append(_part(block))
    if parts or calls:
        yield Message(
            role=turn.role,
            content=parts or None,
            tool_calls=calls or None,
            reasoning_content=thinking or None,
        )


def _result(content: str | list[TextBlock | ImageBlock]) -> str | list[Part]:
    return content if isinstance(content, str) else [_part(block) for block in content]


def _part(block: TextBlock | ImageBlock) -> Part:
    if isinstance(block, TextBlock):
        return TextPart(type="text", text=block.text)
    source = block.source
    url = source.url if isinstance(source, UrlSource) else f"data:{source.media_type};base64,{source.data}"
    return ImagePart(type="image_url", image_url=ImageUrl(url=url))


def _tool(tool: ToolDefinition) -> Tool:
    function = Function(name=tool.name, description=tool.description, parameters=tool.input_schema)
    return Tool(type="function", function=function)


def _choice(choice: AnyChoice | OneTool | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case OneTool(name=name):
            return NamedToolChoice(type="function", function=NamedFunction(name=name))
        case AnyChoice(type="any"):
            return "required"
        case AnyChoice(type="none"):
            return "none"
        case AnyChoice():
            return "auto"
