"""A time span on the command line: `90s`, `5m` or `1h30m`, as in a stack; a bare number is seconds."""

from __future__ import annotations

import re

import click


def duration(text: str) -> float:
    """The `type` of an option that takes a time span; in seconds."""
    from pydantic_core import PydanticCustomError

    from genesis_stack.spec.units import parse_duration

    try:
        return parse_duration(f"{text}s" if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else text)
    except PydanticCustomError as error:
        raise click.BadParameter(error.message()) from None
