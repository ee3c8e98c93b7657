"""Reads a request's JSON body into a strict model, within bounds, and says what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

import jiter
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request

from genesis_stack.server.errors import ClientGoneError, HttpError, bad_request
from genesis_stack.server.guard.identifier import Identifier

LONGEST_NAME = 64
"""Characters of an unknown field's name that the log repeats."""

_FIELD: Final = re.compile(r"\w{1,64}", re.ASCII)
"""Names that an error repeats."""


class StrictModel(BaseModel):
    """A request body: JSON types as they are, no coercion, no NaN or infinity, unknown fields ignored."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=()
    )


class ModelRequest(StrictModel):
    """A request body that names its model."""

    model: Identifier


Model = TypeVar("Model", bound=StrictModel)


@dataclass(frozen=True, slots=True)
class JsonBody(Generic[Model]):
    """The validated body, and the top-level fields that were ignored because nobody knows them."""

    value: Model
    ignored: tuple[str, ...]


async def read_json(request: Request, model: type[Model], *, limit: int) -> JsonBody[Model]:
    """Read, parse and validate the body; `limit` is bytes.

    Raises HttpError: 415 for another content type, 413 beyond the limit (also when the length was not
    announced), 400 for what is not JSON (RFC 8259: no NaN, no lone surrogates, unique names) or not
    the model.
    """
    _check_content_type(request)
    body = await _read_bounded(request, limit)
    return parse_json(body, model)


def parse_json(body: bytes, model: type[Model]) -> JsonBody[Model]:
    """Parse and validate; see `read_json`."""
    try:
        document = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as exc:
        raise bad_request(f"The body is not valid JSON: {_fault(exc)}.", code="invalid_json") from None
    if not isinstance(document, dict):
        raise bad_request("The body must be a JSON object.", code="invalid_json")
    try:
        value = model.model_validate_json(body)
    except ValidationError as exc:
        raise _explained(exc, document) from None
    ignored = tuple(name[:LONGEST_NAME] for name in document.keys() - model.model_fields.keys())
    return JsonBody(value, ignored)


def _fault(exc: ValueError) -> str:
    """What is wrong and where, without the name that stands twice."""
    what, _, where = str(exc).rpartition(" at line ")
    return f"{'duplicate key' if what.startswith('Detected duplicate key') else what} at line {where}"


def _check_content_type(request: Request) -> None:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise HttpError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Send the body as JSON, with the header Content-Type: application/json.",
            code="unsupported_media_type",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Send the body without a Content-Encoding.",
            code="unsupported_media_type",
        )


async def _read_bounded(request: Request, limit: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > len(str(limit)) or int(announced) > limit):
        raise _too_large(limit)
    body = bytearray()
    try:
        with request.app.body_room.place() as place:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
                place.hold(len(body))
    except ClientDisconnect:
        raise ClientGoneError from None
    return bytes(body)


def _too_large(limit: int) -> HttpError:
    return HttpError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is larger than the {limit} bytes that this server takes.",
        code="body_too_large",
    )


def _explained(exc: ValidationError, document: Any) -> HttpError:
    """The first thing that is wrong, with the field as `messages[0].role`.

    Each member of a union has its own complaint: the one that got furthest into the document is meant.
    """
    complaints = [
        (_param(error["type"], error["loc"], document), _message(error))
        for error in exc.errors(include_url=False, include_input=False)
    ]
    first = complaints[0][0]
    related = [complaint for complaint in complaints if complaint[0].startswith(first)]
    param, message = max(related, key=lambda complaint: len(complaint[0]))
    return bad_request(f"{param}: {message}." if param else f"{message}.", param=param or None)


def _message(error: ErrorDetails) -> str:
    """What is wrong, without the value that is."""
    if error["type"] == "union_tag_invalid":
        return f"must be one of {error['ctx']['expected_tags']}"
    return error["msg"].removeprefix("Value error, ")


def _param(kind: str, location: tuple[int | str, ...], document: Any) -> str:
    """The field, also one that is missing."""
    if kind == "missing":
        return f"{_path(location[:-1], document)}.{location[-1]}".removeprefix(".")
    return _path(location, document)


def _path(location: tuple[int | str, ...], document: Any) -> str:
    """Pydantic's location without its names of union members, which are no part of the document."""
    path = ""
    for part in location:
        if isinstance(part, int) and isinstance(document, list):
            document = document[part]
            path += f"[{part}]"
        elif isinstance(document, dict) and part in document:
            document = document[part]
            path += f".{part}" if _FIELD.fullmatch(str(part)) else ".*"
    return path.removeprefix(".")
