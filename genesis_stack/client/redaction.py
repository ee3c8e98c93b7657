"""Keeps secrets and prompts out of what people read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from genesis_stack.client.errors import LocalLLMError

MASK: Final = "[redacted]"
LONGEST: Final = 300
"""Characters of a server's message that are shown."""

_SHORTEST: Final = 4
"""Characters from which an echoed text counts as one: shorter ones are words of any message."""


def shown_url(url: str) -> str:
    """A URL without user, password, query and fragment: what is left identifies a server, and nobody."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else MASK


def scrubbed(message: str, body: Mapping[str, Any]) -> str:
    """A server's message, shortened, without any text of the request that it repeats."""
    for text in _texts(body):
        if len(text) >= _SHORTEST and text in message:
            message = message.replace(text, MASK)
    return message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"


@contextmanager
def without_context() -> Iterator[None]:
    """Cut httpx's exceptions off ours: they hold the request, prompt and key and all."""
    try:
        yield
    except LocalLLMError as error:
        error.__context__ = error.__cause__ = None
        raise


def _texts(value: Any) -> Iterator[str]:
    """The strings that a user wrote: contents, inputs, arguments; names of models and roles are not."""
    if isinstance(value, str):
        yield value
        yield from value.splitlines()
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in {"model", "role", "type", "name"}:
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
