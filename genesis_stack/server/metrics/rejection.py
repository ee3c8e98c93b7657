"""Why a request was refused, in few words that never grow with what clients send."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Final, Self


class Rejection(StrEnum):
    """The reasons of `genesis_rejected_requests_total`."""

    INVALID = "invalid"  # the request can never work
    TOO_LARGE = "too_large"  # its head or body is over a cap
    SLOW_CLIENT = "slow_client"  # it did not arrive in time
    UNAUTHENTICATED = "unauthenticated"  # it proved no declared client
    FORBIDDEN = "forbidden"  # its client may not do that
    NOT_FOUND = "not_found"  # no such path, method or model
    RATE_LIMITED = "rate_limited"  # over a client's limit
    GUARD = "guard"  # its prompt looks like an injection, and policy blocks those
    QUEUE_FULL = "queue_full"  # the bounded queue has no room
    TIMEOUT = "timeout"  # its deadline passed before its first token
    UNAVAILABLE = "unavailable"  # the model is loading, draining or failed

    @classmethod
    def of(cls, status: int, code: str | None) -> Self | None:
        """The reason behind a status and an error code; None for what is no refusal."""
        reason = _BY_CODE.get(code or "") or _BY_STATUS.get(status)
        return None if reason is None else cls(reason)


_BY_CODE: Final = {
    "guard_blocked": "guard",
    "queue_full": "queue_full",
    "timeout": "timeout",
    "prompt_too_large": "too_large",
}

_BY_STATUS: Final[dict[int, str]] = {
    HTTPStatus.BAD_REQUEST: "invalid",
    HTTPStatus.UNAUTHORIZED: "unauthenticated",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "not_found",
    HTTPStatus.REQUEST_TIMEOUT: "slow_client",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "invalid",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limited",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "too_large",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}
