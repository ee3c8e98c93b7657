"""Every refusal as an HTTP status and OpenAI's error body.

HttpError                 any refusal with a status
├── UnauthorizedError     nobody known, whatever was wrong
└── ClientGoneError       nobody is left to answer; logged as 499, never sent
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

from starlette.exceptions import HTTPException

from genesis_stack.engine.interface import (
    ContextLengthError,
    EngineUnavailableError,
    InvalidRequestError,
    QueueFullError,
)
from genesis_stack.protocol.api_error import ApiError, ErrorType
from genesis_stack.protocol.headers import RETRY_AFTER

Scheme = Literal["bearer", "signature", "none"]
"""What a request had shown that proved no declared client."""

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that went away; it appears in logs and metrics only."""

LONGEST_MESSAGE = 400
"""Characters of a message: an error never echoes a long input back."""


class HttpError(Exception):
    """A refusal: the status line, extra headers, and the body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.error = ApiError(_shortened(message), _type_of(status), code, param)


class UnauthorizedError(HttpError):
    """401; `scheme` is what the request had shown, for the metrics alone."""

    def __init__(self, scheme: Scheme) -> None:
        super().__init__(
            HTTPStatus.UNAUTHORIZED,
            "This needs a valid key: send it as `Authorization: Bearer gk_…`, or sign the request with it.",
            code="invalid_api_key",
            headers={"www-authenticate": 'Bearer realm="genesis-stack"'},
        )
        self.scheme = scheme


class ClientGoneError(HttpError):
    """The client closed the connection before its answer was complete."""

    def __init__(self) -> None:
        super().__init__(CLIENT_CLOSED_REQUEST, "The client closed the connection.", code="client_closed")


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> HttpError:
    """A 400 for a request that can never work."""
    return HttpError(HTTPStatus.BAD_REQUEST, message, param=param, code=code)


def unavailable(message: str, *, code: str, retry_after: float) -> HttpError:
    """A 503 with `Retry-After`; `retry_after` is seconds and is rounded up to at least one."""
    seconds = str(max(1, math.ceil(retry_after)))
    return HttpError(HTTPStatus.SERVICE_UNAVAILABLE, message, code=code, headers={RETRY_AFTER: seconds})


def as_http_error(exc: BaseException) -> HttpError | None:
    """The refusal that an expected exception stands for; None for one that is a fault of ours."""
    match exc:
        case HttpError():
            return exc
        case InvalidRequestError():
            code = "context_length_exceeded" if isinstance(exc, ContextLengthError) else None
            return bad_request(str(exc), param=exc.param, code=code)
        case QueueFullError():
            return unavailable(str(exc), code="queue_full", retry_after=exc.retry_after)
        case EngineUnavailableError():
            return unavailable(str(exc), code="unavailable", retry_after=exc.retry_after)
        case HTTPException():
            return _from_routing(exc)
        case _:
            return None


def internal_error(request_id: str) -> HttpError:
    """A 500 that leads to the log and tells nothing else."""
    return HttpError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"The server had an unexpected error. Its log has the details under request id {request_id}.",
        code="internal_error",
    )


def _from_routing(exc: HTTPException) -> HttpError:
    """What the router itself refuses: unknown paths and methods."""
    match exc.status_code:
        case HTTPStatus.NOT_FOUND:
            return HttpError(exc.status_code, "There is nothing at this path.", code="not_found")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = (exc.headers or {}).get("Allow", "")
            message = f"This path does not take this method; it takes {allowed}."
            return HttpError(exc.status_code, message, code="method_not_allowed", headers=exc.headers)
        case status:
            return HttpError(status, exc.detail, headers=exc.headers)


def _type_of(status: int) -> ErrorType:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return "overloaded_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"


def _shortened(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"
