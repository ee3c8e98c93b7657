"""The body of POST /v1/responses, read as a chat request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, ValidationError
from pydantic import Tag as Tagged

from genesis_stack.server.chat_request import (
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_TOOLS,
    CalledFunction,
    ChatRequest,
    Function,
    ImagePart,
    ImageUrl,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonSchemaResponse,
    Message,
    NamedFunction,
    NamedToolChoice,
    Part,
    ResponseFormat,
    TextFormat,
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
from genesis_stack.server.sampling import JsonObject, TokenLimit


class InputText(StrictModel):
    """A piece of a message's text."""

    type: Literal["input_text", "output_text"]
    text: str


class InputImage(StrictModel):
    """An image."""

    type: Literal["input_image"]
    image_url: str


InputPart = Annotated[InputText | InputImage, Field(discriminator="type")]
InputContent = str | Annotated[list[InputPart], Field(max_length=MAX_PARTS)]


class InputMessage(StrictModel):
    """One turn."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: InputContent


class FunctionCall(StrictModel):
    """A call that the model made earlier."""

    type: Literal["function_call"]
    call_id: Identifier
    name: ToolName
    arguments: str


class FunctionCallOutput(StrictModel):
    """What the called function returned."""

    type: Literal["function_call_output"]
    call_id: Identifier
    output: InputContent


class ReasoningItem(StrictModel):
    """Earlier reasoning; templates leave it out of later turns, and so does this server."""

    type: Literal["reasoning"]


def _kind(item: Any) -> str | None:
    """The item's type; a message may come without."""
    given = item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", None)
    return given if isinstance(given, str) else None


InputItem = Annotated[
    Annotated[InputMessage, Tagged("message")]
    | Annotated[FunctionCall, Tagged("function_call")]
    | Annotated[FunctionCallOutput, Tagged("function_call_output")]
    | Annotated[ReasoningItem, Tagged("reasoning")],
    Discriminator(_kind),
]


class FlatFunction(StrictModel):
    """A function as this endpoint writes it: its fields beside its type."""

    type: Literal["function"]
    name: ToolName
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class FlatToolChoice(StrictModel):
    """The one function that must be called."""

    type: Literal["function"]
    name: ToolName


class FlatJsonSchema(JsonSchemaFormat):
    """JSON that fits a schema."""

    type: Literal["json_schema"]


class TextOptions(StrictModel):
    """The form of the answer."""

    format: Annotated[TextFormat | JsonObjectFormat | FlatJsonSchema, Field(discriminator="type")] | None = (
        None
    )


class ResponsesRequest(ModelRequest):
    """A response, by OpenAI's names. The server keeps none, so there is none to continue."""

    input: str | Annotated[list[InputItem], Field(min_length=1, max_length=MAX_MESSAGES - 1)]
    instructions: str | None = None
    max_output_tokens: TokenLimit | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    stream: bool | None = None
    tools: list[FlatFunction] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | FlatToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    previous_response_id: str | None = None
    metadata: dict[Identifier, Annotated[str, Field(max_length=512)]] | None = Field(None, max_length=16)
    user: Identifier | None = None
    store: bool | None = None

    def passages(self) -> Iterator[Passage]:
        """All text that the template gets, for the guard."""
        yield Passage(self.instructions or "", "instructions", trusted=True)
        for number, tool in enumerate(self.tools or ()):
            yield Passage(tool.model_dump_json(), f"tools[{number}]", trusted=True)
        if isinstance(self.input, str):
            yield Passage(self.input, "input")
            return
        for number, item in enumerate(self.input):
            match item:
                case InputMessage(role=role, content=content):
                    yield Passage(_plain(content), f"input[{number}].content", role != "user")
                case FunctionCall(arguments=arguments):
                    yield Passage(arguments, f"input[{number}].arguments", trusted=True)
                case FunctionCallOutput(output=output):
                    yield Passage(_plain(output), f"input[{number}].output")

    def images(self) -> Iterator[tuple[str, str]]:
        """The field and the URL of each image."""
        for number, item in enumerate(() if isinstance(self.input, str) else self.input):
            match item:
                case InputMessage(content=list() as parts) | FunctionCallOutput(output=list() as parts):
                    for place, part in enumerate(parts):
                        if isinstance(part, InputImage):
                            yield f"input[{number}].content[{place}]", part.image_url

    def as_chat(self) -> ChatRequest:
        """The same request for the chat pipeline; raises HttpError 400 for what is none."""
        if self.previous_response_id is not None:
            raise bad_request(
                "previous_response_id: this server stores no responses; send the whole conversation.",
                param="previous_response_id",
            )
        try:
            return ChatRequest(
                model=self.model,
                messages=self._messages(),
                max_completion_tokens=self.max_output_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                tools=[_tool(function) for function in self.tools] if self.tools else None,
                tool_choice=self._choice(),
                parallel_tool_calls=self.parallel_tool_calls,
                response_format=self._format(),
                user=self.user,
            )
        except ValidationError as exc:
            what = exc.errors(include_url=False, include_input=False)[0]["msg"]
            raise bad_request(f"input: as a conversation it is not one: {what}.", param="input") from None

    def _choice(self) -> ToolChoice | None:
        if isinstance(self.tool_choice, FlatToolChoice):
            return NamedToolChoice(type="function", function=NamedFunction(name=self.tool_choice.name))
        return self.tool_choice

    def _messages(self) -> list[Message]:
        messages = [] if self.instructions is None else [Message(role="system", content=self.instructions)]
        if isinstance(self.input, str):
            return [*messages, Message(role="user", content=self.input)]
        calls: list[ToolCall] = []
        for item in self.input:
            if isinstance(item, FunctionCall):
                function = CalledFunction(name=item.name, arguments=item.arguments)
                calls.append(ToolCall(id=item.call_id, function=function))
                continue
            if calls:
                messages.append(Message(role="assistant", tool_calls=calls))
                calls = []
            messages += _turn(item)
        return [*messages, Message(role="assistant", tool_calls=calls)] if calls else messages

    def _format(self) -> ResponseFormat | None:
        match self.text and self.text.format:
            case FlatJsonSchema() as flat:
                schema = JsonSchemaFormat.model_validate({"name": flat.name, "schema": flat.schema_})
                return JsonSchemaResponse(type="json_schema", json_schema=schema)
            case TextFormat() | JsonObjectFormat() as plain:
                return plain
            case _:
                return None


def _turn(item: InputMessage | FunctionCallOutput | ReasoningItem) -> list[Message]:
    match item:
        case InputMessage(role=role, content=content):
            return [Message(role=role, content=_content(content))]
        case FunctionCallOutput(call_id=call_id, output=output):
            return [Message(role="tool", tool_call_id=call_id, content=_content(output))]
        case ReasoningItem():
            return []


def _content(content: InputContent) -> str | list[Part]:
    if isinstance(content, str):
        return content
    return [_part(part) for part in content]


def _part(part: InputText | InputImage) -> Part:
    if isinstance(part, InputText):
        return TextPart(type="text", text=part.text)
    return ImagePart(type="image_url", image_url=ImageUrl(url=part.image_url))


def _plain(content: InputContent) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content if isinstance(part, InputText))


def _tool(flat: FlatFunction) -> Tool:
    function = Function(
        name=flat.name, description=flat.description, parameters=flat.parameters, strict=flat.strict
    )
    return Tool(type="function", function=function)
