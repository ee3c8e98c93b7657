"""The JSON Schema of stack.yaml (draft 2020-12), for editors and other tools.

It says what single values may be; what holds between them (ports, names, sums) only `load` can say.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from genesis_stack.spec.model import Stack


class _StackSchema(GenerateJsonSchema):
    """Pydantic's schema, stricter about names and without what tells a reader nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 -- pydantic's signature
        """No titles: they would repeat the keys."""
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Names that match no pattern are refused, where pydantic's own schema would let them pass."""
        made = super().dict_schema(schema)
        if patterns := made.pop("patternProperties", None):
            ((pattern, values),) = patterns.items()
            made |= {"propertyNames": {"pattern": pattern}, "additionalProperties": values}
        return made

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Defaults of single values only: absent sections and lists need no telling."""
        made = super().default_schema(schema)
        if made.get("default") is None or isinstance(made["default"], dict | list):
            made.pop("default", None)
        return made


def stack_schema() -> dict[str, Any]:
    """The schema as data."""
    body = Stack.model_json_schema(schema_generator=_StackSchema)
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "urn:genesis-stack:schema:v1",
        "title": "genesis-stack stack.yaml, genesis.stack/v1",
    }
    return head | {key: value for key, value in body.items() if key != "title"}


def schema_text() -> str:
    """The schema as it is committed and printed."""
    return json.dumps(stack_schema(), indent=2) + "\n"
