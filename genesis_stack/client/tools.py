"""Functions that a model may call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import to_json

from genesis_stack.client.errors import ConfigurationError, ToolError
from genesis_stack.client.results import ToolCall


@dataclass(frozen=True, slots=True)
class Tool:
    """A Python function with the schema of its arguments; see `Tool.of`."""

    name: str
    description: str
    arguments: type[BaseModel] = field(repr=False)
    function: Callable[..., Any] = field(repr=False)

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Tool:
        """A tool from a function: its annotations are the schema, its docstring tells what it does.

        Raises:
            ConfigurationError: a parameter has no annotation, or is `*args` or `**kwargs`.
        """
        name = getattr(function, "__name__", "tool")
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
                raise ConfigurationError(f"{name}: *{parameter.name} cannot be described to a model")
            if parameter.annotation is parameter.empty:
                remedy = "write its type: a model reads it"
                raise ConfigurationError(f"{name}: {parameter.name} has no annotation", remedy=remedy)
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (parameter.annotation, Field(default))
        arguments = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        return cls(name, inspect.getdoc(function) or "", arguments, function)

    def definition(self) -> dict[str, Any]:
        """The tool as OpenAI's API wants it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.arguments.model_json_schema(),
        }
        return {"type": "function", "function": function}

    async def run(self, call: ToolCall) -> str:
        """What the function returns for these arguments, as text for the model.

        Arguments that do not fit are told to the model, which may correct itself. A function that is not
        `async` runs in a thread. What it raises is the program's own, and comes through.
        """
        try:
            arguments = self.arguments.model_validate_json(call.arguments or "{}")
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            return f"The arguments do not fit: {to_json(problems).decode()}"
        given = {name: getattr(arguments, name) for name in type(arguments).model_fields}
        if inspect.iscoroutinefunction(self.function):
            result = await self.function(**given)
        else:
            result = await asyncio.to_thread(self.function, **given)
        return result if isinstance(result, str) else to_json(result).decode()


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of one conversation, by name."""

    tools: Sequence[Tool]

    @classmethod
    def of(cls, tools: Sequence[Tool | Callable[..., Any]]) -> Toolbox:
        """Functions are made into tools."""
        return cls([tool if isinstance(tool, Tool) else Tool.of(tool) for tool in tools])

    def definitions(self) -> list[dict[str, Any]]:
        """All of them as OpenAI's API wants them."""
        return [tool.definition() for tool in self.tools]

    async def run(self, call: ToolCall) -> str:
        """Run the tool that is called; raises ToolError for one that is not there."""
        for tool in self.tools:
            if tool.name == call.name:
                return await tool.run(call)
        raise ToolError(f"the model calls {call.name[:64]!r}, which is none of its tools")
