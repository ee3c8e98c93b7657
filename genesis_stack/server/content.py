"""What was asked and answered, as text for spans and logs; only where the stack says `content: true`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel
from pydantic_core import to_json

LONGEST: Final = 32 * 1024
"""Characters of one request or answer: an image in base64 is no reading matter."""

_FIELDS: Final = ("system", "instructions", "messages", "prompt", "input", "query", "documents")


def input_json(asked: BaseModel) -> str:
    """What a request of any kind holds for the model to read."""
    given = {name: getattr(asked, name) for name in _FIELDS if getattr(asked, name, None) is not None}
    content = next(iter(given.values())) if len(given) == 1 else given
    return _bounded(to_json(content, inf_nan_mode="null", exclude_none=True).decode())


def output_json(answers: Mapping[int, Sequence[str]]) -> str:
    """The texts of all choices, in order."""
    return _bounded(to_json(["".join(answers[index]) for index in sorted(answers)]).decode())


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
