"""What comes back. Every result is frozen, and no repr shows what was said."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

Degraded = Literal["fallback", "cached"]
"""How an answer differs from what was asked for: another model's, or an earlier one's."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one exchange; `cached_tokens` of the prompt did not have to be read again."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and answer together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds as the server counted them, and `total_ms` as the caller waited, retries included."""

    total_ms: float
    queue_ms: float | None = None
    prompt_ms: float | None = None
    predicted_ms: float | None = None
    predicted_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an answer came from: which server, which model, after how many attempts, under which id."""

    request_id: str
    endpoint: str
    model: str
    attempts: int = 1
    degraded: Degraded | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer. `finish_reason` is `stop`, `length` or `tool_calls`; `raw` is the server's whole object."""

    text: str = field(repr=False)
    origin: Origin
    finish_reason: str | None
    usage: Usage
    timings: Timings
    reasoning: str = field(default="", repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def model(self) -> str:
        """The model that answered."""
        return self.origin.model

    @property
    def request_id(self) -> str:
        """Finds the exchange in the logs of both sides."""
        return self.origin.request_id

    @property
    def degraded(self) -> Degraded | None:
        """Whether a fallback or an earlier answer stands in; None for the real thing."""
        return self.origin.degraded

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer."""

    text: str = field(default="", repr=False)
    reasoning: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Structured(Generic[Value]):
    """An answer as the object that was asked for."""

    value: Value = field(repr=False)
    completion: Completion


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector a text, in order."""

    vectors: tuple[tuple[float, ...], ...] = field(repr=False)
    origin: Origin
    usage: Usage


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that a server offers; `context` is its longest request in tokens, once it is loaded."""

    id: str
    endpoint: str
    description: str = ""
    context: int | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What a server says of itself: a state of its model's life, or here `unreachable`.

    `starting`, `ready`, `unloaded`, `draining` and `failed` are the states.
    """

    endpoint: str
    status: str
    model: str | None = None
    model_digest: str | None = None
    config_digest: str | None = None
    reason: str | None = None

    @property
    def ready(self) -> bool:
        """Whether it answers requests: at once, or after loading the model that was idle."""
        return self.status in {"ready", "unloaded"}


def completion_of(body: Mapping[str, Any], origin: Origin, total_ms: float) -> Completion:
    """Read a `chat.completion` object; raises KeyError, IndexError, TypeError for anything else."""
    choice = body["choices"][0]
    message = choice["message"]
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    )
    return Completion(
        text=message.get("content") or "",
        origin=origin,
        finish_reason=choice.get("finish_reason"),
        usage=usage_of(body),
        timings=timings_of(body, total_ms),
        reasoning=message.get("reasoning_content") or "",
        tool_calls=calls,
        raw=body,
    )


def usage_of(body: Mapping[str, Any]) -> Usage:
    """`usage` of a response, zero where it is missing."""
    usage = body.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        int(details.get("cached_tokens") or 0),
    )


def timings_of(body: Mapping[str, Any], total_ms: float) -> Timings:
    """`timings` of a response, where the server sends them."""
    timings = body.get("timings") or {}
    names = ("queue_ms", "prompt_ms", "predicted_ms", "predicted_per_second")
    return Timings(total_ms, *(timings.get(name) for name in names))


def embeddings_of(body: Mapping[str, Any], origin: Origin) -> Embeddings:
    """Read a list of embeddings; raises KeyError, TypeError, ValueError for anything else."""
    entries = sorted(body["data"], key=lambda entry: entry["index"])
    return Embeddings(tuple(_vector(entry["embedding"]) for entry in entries), origin, usage_of(body))


def _vector(written: str | Sequence[float]) -> tuple[float, ...]:
    """A list of numbers, or little-endian 32-bit floats in base64."""
    if not isinstance(written, str):
        return tuple(map(float, written))
    floats = array("f", b64decode(written, validate=True))
    if sys.byteorder == "big":
        floats.byteswap()
    return tuple(floats)
