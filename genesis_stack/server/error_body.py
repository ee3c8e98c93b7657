"""A refusal as clients of the called API read it: OpenAI's shape, Anthropic's below /v1/messages."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from pydantic_core import to_json
from starlette.responses import Response

from genesis_stack.server.errors import HttpError

_MESSAGES: Final = "/v1/messages"

_ANTHROPIC_TYPES: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
}


def error_body(error: HttpError, path: str) -> dict[str, Any]:
    """The JSON object to send to whoever called `path`."""
    if not path.startswith(_MESSAGES):
        return {**error.error.body()}
    otherwise = "api_error" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    kind = _ANTHROPIC_TYPES.get(error.status, otherwise)
    return {"type": "error", "error": {"type": kind, "message": error.error.message}}


def error_response(error: HttpError, path: str) -> Response:
    """The refusal as a response."""
    body = to_json(error_body(error, path))
    return Response(body, error.status, headers=error.headers, media_type="application/json")
