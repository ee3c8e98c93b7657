"""What the server answers, as JSON schemas for its OpenAPI document: the fields that are always there."""

from __future__ import annotations

from typing import Final

from genesis_stack.server.shapes import Json


def _object(**properties: Json) -> Json:
    """An object with all of these, and maybe more."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _const(value: str) -> Json:
    return {"type": "string", "const": value}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


STRING: Final[Json] = {"type": "string"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
NUMBER: Final[Json] = {"type": "number"}
ANY_OBJECT: Final[Json] = {"type": "object"}

ANSWERS: Final[dict[str, Json]] = {
    "Error": _object(
        error=_object(message=STRING, type=STRING, code=_or_null(STRING), param=_or_null(STRING))
    ),
    "Usage": _object(
        prompt_tokens=COUNT,
        completion_tokens=COUNT,
        total_tokens=COUNT,
        prompt_tokens_details=_object(cached_tokens=COUNT),
    ),
    "ChatCompletion": _object(
        id=STRING,
        object=_const("chat.completion"),
        created=COUNT,
        model=STRING,
        system_fingerprint=STRING,
        choices=_list(
            _object(
                index=COUNT,
                message=_object(role=_const("assistant"), content=_or_null(STRING), refusal={"type": "null"}),
                logprobs=_or_null(ANY_OBJECT),
                finish_reason={"enum": ["stop", "length", "tool_calls"]},
            )
        ),
        usage=_ref("Usage"),
    ),
    "Completion": _object(
        id=STRING,
        object=_const("text_completion"),
        created=COUNT,
        model=STRING,
        system_fingerprint=STRING,
        choices=_list(
            _object(
                index=COUNT,
                text=STRING,
                logprobs=_or_null(ANY_OBJECT),
                finish_reason={"enum": ["stop", "length"]},
            )
        ),
        usage=_ref("Usage"),
    ),
    "Response": _object(
        id=STRING,
        object=_const("response"),
        created_at=COUNT,
        status={"enum": ["completed", "incomplete"]},
        model=STRING,
        output=_list(_object(id=STRING, type=STRING, status=STRING)),
        usage=_object(input_tokens=COUNT, output_tokens=COUNT, total_tokens=COUNT),
    ),
    "Embeddings": _object(
        object=_const("list"),
        data=_list(
            _object(object=_const("embedding"), index=COUNT, embedding={"anyOf": [_list(NUMBER), STRING]})
        ),
        model=STRING,
        usage=_object(prompt_tokens=COUNT, total_tokens=COUNT),
    ),
    "AnsweredMessage": _object(
        id=STRING,
        type=_const("message"),
        role=_const("assistant"),
        model=STRING,
        content=_list(ANY_OBJECT),
        stop_reason=STRING,
        usage=_object(input_tokens=COUNT, output_tokens=COUNT),
    ),
    "MessageError": {
        "anyOf": [_ref("Error"), _object(type=_const("error"), error=_object(type=STRING, message=STRING))]
    },
    "Count": _object(input_tokens=COUNT),
    "Ranking": _object(
        object=_const("list"),
        model=STRING,
        results=_list(_object(index=COUNT, relevance_score=NUMBER)),
        usage=_object(prompt_tokens=COUNT, total_tokens=COUNT),
    ),
    "Model": _object(id=STRING, object=_const("model"), created=COUNT, owned_by=STRING, description=STRING),
    "Models": _object(object=_const("list"), data=_list(_ref("Model"))),
    "Health": _object(status=STRING, model=STRING, model_digest=STRING, config_digest=STRING),
    "Props": _object(model_alias=STRING, total_slots=COUNT, engine=ANY_OBJECT, state=STRING),
    "Slots": _list(_object(id=COUNT, is_processing={"type": "boolean"})),
    "Tokens": _object(tokens=_list(COUNT)),
    "Content": _object(content=STRING),
}
"""By the name under which the document refers to them."""
