"""What a server answers instead of an answer, as an error of this package."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from genesis_stack.client.errors import (
    AuthenticationError,
    ContextLengthError,
    InvalidRequestError,
    LocalLLMError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QueueFullError,
    RateLimitedError,
    RefusedError,
    ServerFaultError,
)
from genesis_stack.client.redaction import scrubbed
from genesis_stack.protocol.headers import RETRY_AFTER

_SERVER_FAULT: Final = 500
_SKEW: Final = 30.0
"""Seconds by which clocks may differ before that is worth a word."""
_LONGEST_WAIT: Final = 1e9
"""Seconds; what a server asks for beyond that is no wait any more."""

_REFUSALS: Final[Mapping[int, type[RefusedError]]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
}
_RETRIED: Final = {408: OverloadedError, 429: RateLimitedError, 503: OverloadedError}


def refusal(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    sent: Mapping[str, Any],
    *,
    endpoint: str,
    request_id: str,
) -> LocalLLMError:
    """The error that a response stands for; `sent` is the request's body, which the message must not show."""
    message, code = _told(content)
    shown = scrubbed(message, sent) or "no reason given"
    text = f"{endpoint} answered {status}: {shown}"
    if status in _RETRIED or status >= _SERVER_FAULT:
        kind = QueueFullError if code == "queue_full" else _RETRIED.get(status, ServerFaultError)
        after = retry_after(headers.get(RETRY_AFTER), now=time.time())
        return kind(text, retry_after=after, request_id=request_id, endpoint=endpoint)
    refused = _REFUSALS.get(status, InvalidRequestError)
    if code == "context_length_exceeded":
        refused = ContextLengthError
    remedy = _clock_remedy(headers) if refused is AuthenticationError else None
    return refused(text, status=status, code=code, remedy=remedy, request_id=request_id, endpoint=endpoint)


def failure_of_event(event: Mapping[str, Any], *, endpoint: str, request_id: str) -> LocalLLMError:
    """The error that an `error` event in a stream stands for."""
    error = event["error"]
    code = error.get("code") if isinstance(error, dict) else None
    kind = OverloadedError if code in {"cancelled", "timeout", "unavailable"} else ServerFaultError
    return kind(f"{endpoint} ended the stream ({code})", request_id=request_id, endpoint=endpoint)


def retry_after(value: str | None, *, now: float) -> float | None:
    """Seconds to wait: `Retry-After` is whole seconds or an HTTP date (RFC 9110, 10.2.3), else None."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_WAIT)
    moment = _date(text)
    return None if moment is None else min(max(0.0, moment.timestamp() - now), _LONGEST_WAIT)


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _told(content: bytes) -> tuple[str, str | None]:
    """Message and code of OpenAI's error body; a page of something else has neither."""
    try:
        error = json.loads(content)["error"]
        if isinstance(error, str):
            return error, None
        return str(error.get("message") or ""), error.get("code")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", None


def _clock_remedy(headers: Mapping[str, str]) -> str | None:
    """A word on clocks, where they differ so much that it may be the reason."""
    there = _date(headers.get("date", ""))
    if there is None:
        return None
    ahead = time.time() - there.timestamp()
    if not math.isfinite(ahead) or abs(ahead) < _SKEW:
        return None
    way = "ahead of" if ahead > 0 else "behind"
    return (
        f"this machine's clock is {abs(ahead):.0f} s {way} the server's: set both by NTP, "
        "signatures are good for minutes"
    )
