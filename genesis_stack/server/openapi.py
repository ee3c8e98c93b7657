"""The OpenAPI document of one server: made of the models that validate, and of every status it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from genesis_stack.protocol.headers import REQUEST_ID, RETRY_AFTER
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server.chat_request import ChatRequest
from genesis_stack.server.completions import CompletionRequest
from genesis_stack.server.embeddings import EmbeddingRequest
from genesis_stack.server.introspect import DetokenizeRequest, TokenizeRequest
from genesis_stack.server.json_body import ModelRequest, StrictModel
from genesis_stack.server.messages_request import CountRequest, MessagesRequest
from genesis_stack.server.openapi_answers import ANSWERS
from genesis_stack.server.rerank import RerankRequest
from genesis_stack.server.responses_request import ResponsesRequest
from genesis_stack.server.shapes import Json

OPENAPI: Final = "3.1.0"

EVERY: Final = {
    400: "The request is malformed.",
    403: "The caller may not do this.",
    408: "The request did not arrive in time.",
    431: "The header fields are too large.",
    503: "It cannot be served now: the model is loading or stopping, or all places are in use.",
}
"""What any request may be answered."""

WITH_CLIENTS: Final = {
    401: "No declared client is known by what the request showed.",
    429: "A limit of the client is reached.",
}
"""What it may be answered as well where clients are declared."""

WITH_BODY: Final = {
    413: "The body is larger than the server takes.",
    415: "The body is not application/json, or is compressed.",
}

ENGINE_FAILED: Final = {500: "The engine failed while it worked on this request."}
NO_MODEL: Final = {404: "Another model's name."}

RETRIES: Final = frozenset({429, 503})
"""Statuses that come with Retry-After."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route: what it is for, the model of its body, what it answers, and its own refusals."""

    summary: str
    answer: str
    asks: type[StrictModel] | None = None
    refusals: Mapping[int, str] = field(default_factory=dict)
    streams: bool = False
    media_type: str = "application/json"
    open: bool = False
    error: str = "Error"


_GENERATES: Final = NO_MODEL | ENGINE_FAILED

OPERATIONS: Final[Mapping[str, Operation]] = {
    "/v1/chat/completions": Operation(
        "Answer a conversation", "ChatCompletion", ChatRequest, _GENERATES, streams=True
    ),
    "/v1/completions": Operation(
        "Continue a text", "Completion", CompletionRequest, _GENERATES, streams=True
    ),
    "/v1/responses": Operation("Answer an input", "Response", ResponsesRequest, _GENERATES, streams=True),
    "/v1/messages": Operation(
        "Answer a conversation",
        "AnsweredMessage",
        MessagesRequest,
        _GENERATES,
        streams=True,
        error="MessageError",
    ),
    "/v1/messages/count_tokens": Operation(
        "Count a prompt's tokens", "Count", CountRequest, _GENERATES, error="MessageError"
    ),
    "/v1/embeddings": Operation("Embed texts", "Embeddings", EmbeddingRequest, _GENERATES),
    "/v1/rerank": Operation("Order documents by a query", "Ranking", RerankRequest, _GENERATES),
    "/v1/models": Operation("The models of this server: one", "Models"),
    "/v1/models/{model}": Operation("The model by its name", "Model", refusals=NO_MODEL),
    "/health": Operation("Whether the model serves", "Health", open=True),
    "/metrics": Operation("Prometheus text", "", media_type="text/plain"),
    "/props": Operation("How the model is set up", "Props"),
    "/slots": Operation("What is being worked on", "Slots"),
    "/tokenize": Operation("Token ids of a text", "Tokens", TokenizeRequest),
    "/detokenize": Operation("Text of token ids", "Content", DetokenizeRequest),
}
"""Every route, by its path."""


def document(config: ServeConfig) -> Json:
    """The document of the server with this configuration."""
    return {
        "openapi": OPENAPI,
        "info": {
            "title": config.model,
            "version": version("genesis-stack"),
            "description": config.description or "A local language model behind OpenAI's API.",
        },
        "paths": {
            path: {"get" if operation.asks is None else "post": _operation(path, operation, config)}
            for path, operation in OPERATIONS.items()
        },
        "components": {
            "schemas": _requests(_names(config)) | ANSWERS,
            "headers": {
                REQUEST_ID: {"description": "Names the exchange in the log.", "schema": {"type": "string"}},
                RETRY_AFTER: {
                    "description": "Seconds after which trying again makes sense.",
                    "schema": {"type": "integer"},
                },
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(path: str, operation: Operation, config: ServeConfig) -> Json:
    described: Json = {
        "summary": operation.summary,
        "operationId": path.strip("/").replace("/", "_").replace("{", "").replace("}", ""),
        "responses": _responses(operation, has_clients=config.access is not None),
    }
    if "{model}" in path:
        schema = {"type": "string", "enum": _names(config)}
        described["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": schema}]
    if operation.asks is not None:
        content = {"application/json": {"schema": _ref(operation.asks.__name__)}}
        described["requestBody"] = {"required": True, "content": content}
    if config.access is not None and not operation.open:
        described["security"] = [{"bearer": []}]
    return described


def _responses(operation: Operation, *, has_clients: bool) -> Json:
    refusals = {
        **EVERY,
        **(WITH_CLIENTS if has_clients and not operation.open else {}),
        **(WITH_BODY if operation.asks is not None else {}),
        **operation.refusals,
    }
    answered: Json = {
        "description": "Done.",
        "headers": _headers(HTTPStatus.OK),
        "content": _answer(operation),
    }
    responses = {"200": answered}
    for status, description in sorted(refusals.items()):
        error = _ref(operation.error)
        if operation.open and status == HTTPStatus.SERVICE_UNAVAILABLE:
            error = {"anyOf": [_ref(operation.answer), error]}
        responses[str(status)] = {
            "description": description,
            "headers": _headers(status),
            "content": {"application/json": {"schema": error}},
        }
    return responses


def _answer(operation: Operation) -> Json:
    if not operation.answer:
        return {operation.media_type: {"schema": {"type": "string"}}}
    content: Json = {operation.media_type: {"schema": _ref(operation.answer)}}
    if operation.streams:
        content["text/event-stream"] = {}
    return content


def _headers(status: int) -> Json:
    """What the application adds; a refusal before it has no request id, so nothing is required."""
    names = (REQUEST_ID, RETRY_AFTER) if status in RETRIES else (REQUEST_ID,)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _names(config: ServeConfig) -> list[str]:
    return [config.model, *(f"{config.model}:{adapter}" for adapter in config.adapters)]


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _requests(names: list[str]) -> dict[str, Any]:
    """The schemas of all bodies; only these names of models are served."""
    bodies = [operation.asks for operation in OPERATIONS.values() if operation.asks is not None]
    _, schemas = models_json_schema(
        [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = schemas["$defs"]
    for body in bodies:
        if issubclass(body, ModelRequest):
            definitions[body.__name__]["properties"]["model"] = {"type": "string", "enum": names}
    return definitions
