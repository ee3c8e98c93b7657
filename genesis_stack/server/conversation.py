"""Turns a chat request into the prompt's tokens, the sampling, and the parser of what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from genesis_stack.engine.chat_template import ChatTemplate, placeholder
from genesis_stack.engine.interface import Engine, ImagePrompt, ImageSpan, SamplingParams, Token
from genesis_stack.server.chat_request import (
    ChatRequest,
    Message,
    NamedToolChoice,
    TextPart,
    Tool,
)
from genesis_stack.server.choice_parser import ChoiceParser
from genesis_stack.server.errors import bad_request
from genesis_stack.server.picture import decoded
from genesis_stack.server.reasoning import CLOSER, OPENER
from genesis_stack.server.tool_parser import HERMES_OPENER, Dialect

LONG_PROMPT: Final = 8192
"""Characters from which tokenizing moves to a thread, so that others' streams do not wait for it."""

_TEACHING: Final = (
    "You may call one or more functions. Their signatures, one JSON object a line, are:\n{tools}\n"
    'To call one, write {{"name": <its name>, "arguments": <JSON object>}} between <tool_call> and '
    "</tool_call>."
)
"""Tells a model whose template knows no tools how to call them."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the engine gets, and how to read its answer."""

    tokens: Sequence[Token]
    images: Sequence[ImageSpan]
    sampling: SamplingParams
    dialect: Dialect | None
    tool_names: tuple[str, ...]
    forced_call: bool
    single_call: bool
    reasons: bool
    reasoning_opened: bool

    def new_parser(self) -> ChoiceParser:
        """A parser for one choice."""
        return ChoiceParser(
            reasoning_opened=self.reasoning_opened if self.reasons else None,
            dialect=self.dialect,
            tool_names=self.tool_names,
            forced_call=self.forced_call,
            single_call=self.single_call,
        )


async def prompt_of(
    request: ChatRequest, template: ChatTemplate, engine: Engine, *, max_pixels: int
) -> Prompt:
    """Render, tokenize and choose the constraints; an image may have `max_pixels`.

    Raises:
        HttpError: 400, what the request combines cannot be.
        TemplateError: the model's template refuses the messages.
    """
    tools = _offered_tools(request)
    dialect = Dialect.of(template.source) if tools else None
    forced = _forced_tools(request, tools)
    schema = _schema(request, tools, forced, dialect)
    taught = "tools" in template.source
    images = await _prepared(request, engine, max_pixels)
    marks = iter(images)
    messages = [_template_message(message, marks) for message in request.messages]
    if tools and not taught:
        messages = _with_teaching(messages, tools)
    rendered = await template.render(
        messages,
        tools=[_template_tool(tool) for tool in tools] if taught else None,
        arguments=request.chat_template_kwargs,
        images=images,
    )
    opened = rendered.text.rstrip().endswith(OPENER)
    constrained = schema is not None or request.grammar is not None
    if opened and constrained:
        rendered = rendered.continued(f"\n{CLOSER}\n\n")
    if forced and dialect is Dialect.HERMES:
        rendered = rendered.continued(f"{HERMES_OPENER}\n")
    if len(rendered.text) > LONG_PROMPT:
        encoded = await asyncio.to_thread(rendered.encoded, engine.tokenize, template.bos_text)
    else:
        encoded = rendered.encoded(engine.tokenize, template.bos_text)
    return Prompt(
        tokens=encoded.tokens,
        images=encoded.images,
        sampling=request.sampling(
            max_tokens=request.token_limit, top_logprobs=request.top_logprob_count, json_schema=schema
        ),
        dialect=dialect,
        tool_names=tuple(tool.function.name for tool in tools),
        forced_call=bool(forced),
        single_call=request.parallel_tool_calls is False,
        reasons=CLOSER in template.source and not constrained,
        reasoning_opened=opened,
    )


def _offered_tools(request: ChatRequest) -> list[Tool]:
    """The tools that the model may call; raises HttpError 400 for a choice without tools."""
    if request.tool_choice == "none":
        return []
    if request.tool_choice not in {None, "auto"} and not request.tools:
        raise bad_request("tool_choice: it needs tools to choose from.", param="tool_choice")
    return request.tools or []


def _forced_tools(request: ChatRequest, tools: list[Tool]) -> list[Tool]:
    """The tools of which one must be called; none where the model is free."""
    match request.tool_choice:
        case "required":
            return tools
        case NamedToolChoice(function=named):
            if chosen := [tool for tool in tools if tool.function.name == named.name]:
                return chosen[:1]
            raise bad_request(f"tool_choice: no tool is named {named.name}.", param="tool_choice")
        case _:
            return []


def _schema(
    request: ChatRequest, tools: list[Tool], forced: list[Tool], dialect: Dialect | None
) -> str | None:
    """The one JSON schema that the completion must fit, as JSON text."""
    if tools and (request.json_schema is not None or request.grammar is not None):
        raise bad_request(
            "response_format and grammar cannot be combined with tools; set tool_choice to none.",
            param="response_format" if request.grammar is None else "grammar",
        )
    if forced and dialect is not None:
        return json.dumps(_call_schema(forced, dialect), ensure_ascii=False)
    return request.json_schema


def _call_schema(tools: list[Tool], dialect: Dialect) -> dict[str, Any]:
    """A call of one of the tools; definitions move to the root, where `#/$defs/…` looks for them."""
    definitions: dict[str, Any] = {}
    calls = []
    for tool in tools:
        parameters = dict(tool.function.parameters or {"type": "object"})
        for name, definition in parameters.pop("$defs", {}).items():
            if definitions.setdefault(name, definition) != definition:
                raise bad_request(f"tools: two of them define $defs/{name}, and differently.", param="tools")
        properties = {"name": {"const": tool.function.name}, dialect.arguments_key: parameters}
        call = {"type": "object", "properties": properties, "required": list(properties)}
        calls.append({**call, "additionalProperties": False})
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {**schema, "$defs": definitions} if definitions else schema


async def _prepared(request: ChatRequest, engine: Engine, max_pixels: int) -> dict[str, ImagePrompt]:
    """The images in order, by the placeholder that stands for each in the messages."""
    images = {}
    for param, url in request.images():
        if not engine.info.sees:
            raise bad_request("This model reads text only; send no images.", param=param)
        image = await asyncio.to_thread(decoded, url, param, max_pixels=max_pixels)
        images[placeholder()] = await engine.prepare_image(image)
    return images


def _template_message(message: Message, marks: Iterator[str]) -> dict[str, Any]:
    """A message as chat templates want it: text as one string, arguments as objects, no null fields.

    Its images are the next of `marks`, in place.
    """
    role = "system" if message.role == "developer" else message.role
    plain: dict[str, Any] = {"role": role, "content": _text(message, marks)}
    for name in ("name", "reasoning_content", "tool_call_id"):
        if (value := getattr(message, name)) is not None:
            plain[name] = value
    if message.tool_calls:
        plain["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": _arguments(call.function.arguments)},
            }
            for call in message.tool_calls
        ]
    return plain


def _text(message: Message, marks: Iterator[str]) -> str:
    match message.content:
        case str(text):
            return text
        case None:
            return ""
        case parts:
            return "".join(part.text if isinstance(part, TextPart) else next(marks) for part in parts)


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _template_tool(tool: Tool) -> dict[str, Any]:
    return tool.model_dump(exclude_none=True)


def _with_teaching(messages: list[dict[str, Any]], tools: list[Tool]) -> list[dict[str, Any]]:
    """The conversation with the tools described in its system message."""
    lines = (json.dumps(_template_tool(tool)["function"], ensure_ascii=False) for tool in tools)
    teaching = _TEACHING.format(tools="\n".join(lines))
    first: Mapping[str, Any] = messages[0]
    if first["role"] == "system":
        return [{**first, "content": f"{first['content']}\n\n{teaching}"}, *messages[1:]]
    return [{"role": "system", "content": teaching}, *messages]
