"""Who may call the models, and how much. Keys are never in the file: only their names and dates."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from genesis_stack.spec.fields import Frozen, Many, Name, SecretName

_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"


def _date(value: object) -> object:
    if isinstance(value, dt.date):
        return value
    try:
        if isinstance(value, str) and re.fullmatch(_DATE, value):
            return dt.date.fromisoformat(value)
    except ValueError:
        pass
    raise PydanticCustomError("date", "must be a date such as 2030-12-31")


Date = Annotated[
    dt.date,
    BeforeValidator(_date),
    WithJsonSchema({"type": "string", "format": "date", "pattern": f"^{_DATE}$"}),
]


class ClientKey(Frozen):
    """One key of a client; during a rotation it has two."""

    expires: Date | None = Field(default=None, description="Last day (UTC) on which the key is valid.")
    secret: SecretName | None = Field(
        default=None, description="Name of the HMAC secret that signs requests with this key."
    )


class Client(Frozen):
    """A declared API consumer: its limits and the models it may use."""

    models: Many[Name] = Field(min_length=1, description="Models this client may use.")
    requests_per_minute: int = Field(default=60, ge=1, le=1_000_000, description="Requests a minute.")
    tokens_per_minute: int = Field(
        default=40_000, ge=1, le=1_000_000_000, description="Tokens a minute, prompts and answers together."
    )
    concurrent: int = Field(default=8, ge=1, le=10_000, description="Requests at the same time.")
    require_signature: bool = Field(
        default=False, description="Refuse requests that are not signed with HMAC-SHA256 (RFC 9421)."
    )
    guard: Literal["off", "flag", "block"] = Field(
        default="flag",
        description="What happens to a prompt that looks like an injection: flag counts and logs it.",
    )
    keys: dict[Name, ClientKey] = Field(
        default_factory=dict,
        max_length=2,
        description="Keys by id, two while one replaces the other; absent: one key without an end.",
    )
