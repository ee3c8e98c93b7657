"""The kinds of text, number and list that the sections of a stack are made of."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

T = TypeVar("T")


class Frozen(BaseModel):
    """Base of every part of a Stack: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, serialize_by_alias=True
    )


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text that matches `regex` (ECMA 262 and Python alike); `what` completes the sentence "must be …"."""

    regex: str
    what: str
    hint: str | None = None

    def check(self, value: str) -> str:
        """Return `value`, or raise the error that names what was wanted."""
        if re.fullmatch(self.regex, value):
            return value
        raise PydanticCustomError("pattern", "must be {wanted}", {"wanted": self.what, "hint": self.hint})

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.regex}


def _address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise PydanticCustomError(
            "address",
            "must be an IP address",
            {"hint": "127.0.0.1 for this machine alone, 0.0.0.0 for every network it is in"},
        ) from None
    return value


def _threads(value: object) -> object:
    match value:
        case "auto":
            return value
        case int() if not isinstance(value, bool) and 1 <= value <= MOST_THREADS:
            return value
    raise PydanticCustomError(
        "threads", "must be auto or a whole number from 1 to {most}", {"most": MOST_THREADS}
    )


MOST_THREADS: Final = 512

Name = Annotated[
    str,
    Pattern(
        r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$",
        "a name of lower-case letters, digits and inner hyphens, at most 48 characters",
        "it becomes part of unit files, paths, URLs and metric labels",
    ),
]
"""A name that is safe in a unit file, a path, a URL and a metric label."""

AlertName = Annotated[
    str,
    Pattern(
        r"^[A-Z][A-Za-z0-9]{0,63}$",
        "an alert name in CamelCase, such as HighLatency",
        "begin it with a capital, and use letters and digits alone",
    ),
]

ONE_LINE: Final = Pattern(
    r"^[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{0,500}$",
    "one line of text without control characters, at most 500 characters",
    "write it on one line, and shorter",
)

Line = Annotated[str, ONE_LINE]
"""One line of text; whoever renders it into a unit file doubles its percent signs."""

Digest = Annotated[
    str,
    Pattern(
        r"^[0-9a-f]{64}$",
        "a SHA-256 digest: 64 lower-case hexadecimal digits",
        "sha256sum FILE prints it",
    ),
]

SecretName = Annotated[
    str,
    Pattern(
        r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?$",
        "the name of a secret: letters, digits and inner _ . -, at most 64 characters",
        "secrets are never in the stack: put the value in the secret store and its name here",
    ),
]
"""The name under which the host keeps a secret (a systemd credential, or a 0600 file)."""

Url = Annotated[
    str,
    Pattern(
        r"^https?://[A-Za-z0-9.\[\]:-]+(/[^\s@\u0000-\u001f\u007f]*)?$",
        "an http:// or https:// URL without user name, password or @",
        "credentials belong in a secret: name it instead",
    ),
]

AbsolutePath = Annotated[
    str,
    Pattern(
        r"^(/(?!\.{1,2}(/|$))[A-Za-z0-9_.@:+-]+)+$",
        "an absolute path of letters, digits and _ . @ : + -, without . or .. steps",
    ),
]

Address = Annotated[str, AfterValidator(_address)]
"""An IPv4 or IPv6 address to listen on."""

Port = Annotated[int, Field(ge=1, le=65535)]

Threads = Annotated[
    int | Literal["auto"],
    BeforeValidator(_threads),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MOST_THREADS}]}
    ),
]

Many = Annotated[tuple[T, ...], Strict(strict=False)]
"""A list in the file, a tuple in the Stack."""
