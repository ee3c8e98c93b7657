"""The error body of OpenAI's API: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, TypedDict

ErrorType = Literal["invalid_request_error", "server_error", "overloaded_error", "rate_limit_error"]


class ErrorBody(TypedDict):
    """The JSON object as it travels."""

    error: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class ApiError:
    """What went wrong, for the client: `param` names the field at fault, `code` is for programs."""

    message: str
    type: ErrorType
    code: str | None = None
    param: str | None = None

    def body(self) -> ErrorBody:
        """The object to send as JSON."""
        return {"error": asdict(self)}
