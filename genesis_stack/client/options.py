"""What a call may say beside its messages."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict, cast

from genesis_stack.client.errors import ConfigurationError
from genesis_stack.client.route import Wanted
from genesis_stack.client.tools import Tool
from genesis_stack.protocol.headers import REQUEST_ID_FORM


class Sampling(TypedDict, total=False):
    """How the model chooses its words, by OpenAI's names and llama.cpp's."""

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int
    stop: str | Sequence[str]
    presence_penalty: float
    frequency_penalty: float
    repeat_penalty: float
    logit_bias: Mapping[str, float]
    grammar: str
    user: str


class Options(Sampling, total=False):
    """Sampling, and where the request goes: `deadline` and `hedge_after` are seconds.

    `extra` goes into the request as it is.
    """

    model: str
    task: Wanted
    tags: Sequence[str]
    deadline: float
    hedge_after: float
    request_id: str
    extra: Mapping[str, Any]


class ToolOptions(Options, total=False):
    """How the model may use its tools."""

    tool_choice: Literal["none", "auto", "required"] | Mapping[str, Any]
    parallel_tool_calls: bool


class ChatOptions(ToolOptions, total=False):
    """The options of a chat: tools to offer, and the form of the answer."""

    tools: Sequence[Tool | Callable[..., Any] | Mapping[str, Any]]
    response_format: Mapping[str, Any]


_ALL: Final = frozenset(ChatOptions.__annotations__)
_ROUTING: Final = frozenset({"model", "task", "tags", "deadline", "hedge_after", "request_id", "extra"})


def body_of(options: Options) -> dict[str, Any]:
    """The part of the options that travels to the server.

    Raises:
        ConfigurationError: there is no such option (the message names the nearest), or a malformed id.
    """
    for name in options:
        if name not in _ALL:
            near = difflib.get_close_matches(name, _ALL, n=1)
            remedy = f"did you mean {near[0]}?" if near else "put fields of other servers into extra={...}"
            raise ConfigurationError(f"there is no option {name!r}", remedy=remedy)
    if not REQUEST_ID_FORM.fullmatch(options.get("request_id", "id")):
        raise ConfigurationError(
            "the request_id is malformed", remedy=f"it must match {REQUEST_ID_FORM.pattern}"
        )
    body = {name: value for name, value in options.items() if name not in _ROUTING}
    if tools := cast("ChatOptions", options).get("tools"):
        body["tools"] = [tool if isinstance(tool, Mapping) else _tool(tool).definition() for tool in tools]
    return {**body, **options.get("extra", {})}


def _tool(tool: Tool | Callable[..., Any]) -> Tool:
    return tool if isinstance(tool, Tool) else Tool.of(tool)
