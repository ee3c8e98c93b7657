"""Quantities as people write them: `8GiB`, `4.9GB`, `10s`, `1h30m`, `60/min`, `1%`.

A parsed value is a plain number in its canonical unit: bytes, seconds, a fraction of 1, per second. A bare
number is read as that unit, so that a dumped Stack can be loaded again.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_BYTES: Final = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", start=1)},
    "KB": 1000,
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", start=1)},
}
_SECONDS: Final = {"ms": Decimal("0.001")} | {
    unit: Decimal(seconds) for unit, seconds in (("s", 1), ("m", 60), ("h", 3600), ("d", 86_400))
}
_PERIODS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400}

_NUMBER: Final = r"[0-9]{1,15}(\.[0-9]{1,6})?"
SIZE_PATTERN: Final = rf"^{_NUMBER} ?([kKMGT]?B|[KMGT]iB)$"
DURATION_PATTERN: Final = rf"^({_NUMBER}(ms|[smhd]))+$"
FRACTION_PATTERN: Final = rf"^{_NUMBER} ?%$"
RATE_PATTERN: Final = rf"^{_NUMBER} ?/ ?(s|min|h|d)$"

_MOST_BYTES: Final = 2**62
_MOST_SECONDS: Final = 10 * 365 * 86_400
_MOST_PER_SECOND: Final = 1_000_000_000


def parse_size(value: object) -> int:
    """Bytes of `8GiB` (2^30), `4.9GB` (10^9), or of a whole number of bytes."""
    match value:
        case bool() | float():
            pass
        case int() if 0 <= value <= _MOST_BYTES:
            return value
        case str() if re.fullmatch(SIZE_PATTERN, value):
            number, unit = _split(value)
            size = int(Decimal(number) * _BYTES[unit])
            if size <= _MOST_BYTES:
                return size
    raise _refusal("a size such as 8GiB (2^30 bytes) or 4.9GB (10^9 bytes)", _size_hint(value))


def parse_duration(value: object) -> float:
    """Seconds of `250ms`, `10s`, `5m`, `1h30m`, `7d`, or of a number of seconds."""
    match value:
        case bool():
            pass
        case int() | float() if 0 <= value <= _MOST_SECONDS:
            return float(value)
        case str() if re.fullmatch(DURATION_PATTERN, value):
            parts = re.findall(r"([0-9.]+)(ms|[smhd])", value)
            seconds = sum(Decimal(number) * _SECONDS[unit] for number, unit in parts)
            if seconds <= _MOST_SECONDS:
                return float(seconds)
    raise _refusal("a duration such as 250ms, 10s, 5m or 1h30m, at most 3650d")


def parse_fraction(value: object) -> float:
    """The part of 1 that `1%` or a number between 0 and 1 stands for."""
    match value:
        case bool():
            pass
        case int() | float() if 0 <= value <= 1:
            return float(value)
        case str() if re.fullmatch(FRACTION_PATTERN, value):
            fraction = Decimal(value.rstrip("% ")) / 100
            if fraction <= 1:
                return float(fraction)
        case int() | float() if value > 1:
            raise _refusal(
                "a share such as 1% or 0.01, at most 100%", f"{value:g}% is written with its percent sign"
            )
    raise _refusal("a share such as 1% or 0.01, at most 100%")


def parse_rate(value: object) -> float:
    """Events per second of `60/min`, `10/s`, `1000/h`, or of a number per second."""
    match value:
        case bool():
            pass
        case int() | float() if 0 <= value <= _MOST_PER_SECOND:
            return float(value)
        case str() if re.fullmatch(RATE_PATTERN, value):
            number, _, period = value.replace(" ", "").partition("/")
            rate = Decimal(number) / _PERIODS[period]
            if rate <= _MOST_PER_SECOND:
                return float(rate)
    raise _refusal("a rate such as 60/min, 10/s or 1000/h")


def _split(text: str) -> tuple[str, str]:
    number = re.match(r"[0-9.]+", text)
    assert number is not None  # noqa: S101 -- the caller matched the pattern
    return number.group(), text[number.end() :].strip()


def _size_hint(value: object) -> str | None:
    found = re.fullmatch(r"([0-9.]+) ?([kKmMgGtT])([iI]?[bB]?)", value) if isinstance(value, str) else None
    if found is None:
        return None
    number, prefix = found[1], found[2].upper()
    return f"write {number}{prefix}iB for powers of 1024, {number}{prefix}B for powers of 1000"


def _refusal(wanted: str, hint: str | None = None) -> PydanticCustomError:
    return PydanticCustomError("quantity", "must be {wanted}", {"wanted": wanted, "hint": hint})


ByteSize = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": SIZE_PATTERN, "examples": ["8GiB", "4.9GB"]},
                {"type": "integer", "minimum": 0, "maximum": _MOST_BYTES, "description": "bytes"},
            ]
        }
    ),
]
"""A number of bytes."""

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": DURATION_PATTERN, "examples": ["10s", "5m", "1h30m"]},
                {"type": "number", "minimum": 0, "maximum": _MOST_SECONDS, "description": "seconds"},
            ]
        }
    ),
]
"""A time span in seconds."""

Fraction = Annotated[
    float,
    BeforeValidator(parse_fraction),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": FRACTION_PATTERN, "examples": ["1%"]},
                {"type": "number", "minimum": 0, "maximum": 1},
            ]
        }
    ),
]
"""A part of 1."""

Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": RATE_PATTERN, "examples": ["60/min", "10/s"]},
                {
                    "type": "number",
                    "minimum": 0,
                    "maximum": _MOST_PER_SECOND,
                    "description": "per second",
                },
            ]
        }
    ),
]
"""Events per second."""
