"""Answers as objects: a pydantic model is the grammar of the answer, and checks it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from genesis_stack.client.errors import StructuredOutputError
from genesis_stack.client.results import Completion, Structured

Schema = TypeVar("Schema", bound=BaseModel)


def response_format(schema: type[BaseModel]) -> dict[str, Any]:
    """`response_format` of a request: the server's grammar lets nothing else through."""
    definition = {"name": schema.__name__[:64], "schema": schema.model_json_schema(), "strict": True}
    return {"type": "json_schema", "json_schema": definition}


def structured(completion: Completion, schema: type[Schema]) -> Structured[Schema]:
    """The answer as an object.

    Raises:
        StructuredOutputError: it was cut short, or the schema has rules that no grammar can hold.
    """
    try:
        return Structured(schema.model_validate_json(completion.text), completion)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        reason = "was cut short" if completion.finish_reason == "length" else f"{where}: {first['msg']}"
    raise StructuredOutputError(
        f"the answer does not fit {schema.__name__}: {reason}",
        text=completion.text,
        request_id=completion.request_id,
    )
