"""Takes an answer off the wire and measures it, without looking at more bytes than it must.

Only the events that end a stream are parsed: the rest is told apart by a search, so that a load test on the
servers' own machine takes little from them.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

_TEXT: Final = re.compile(rb'"(?:content|text|reasoning_content)":"(?!")')
_DONE: Final = b"data: [DONE]"
_OK: Final = 200


class Wire(Protocol):
    """The body of a response that is still arriving."""

    def readline(self, sep: bytes) -> bytes:
        """The next bytes up to and with `sep`; none at the end."""


class BadAnswerError(Exception):
    """An answer that is none; the message is short, for counting."""


@dataclass(slots=True)
class Answer:
    """What one answer was like, in seconds."""

    ttft: float | None = None
    gaps: list[float] = field(default_factory=list)
    tokens: int = 0
    queue: float | None = None

    def take(self, body: dict[str, Any]) -> None:
        """What the server tells of it."""
        self.tokens = (body.get("usage") or {}).get("completion_tokens", self.tokens)
        if "queue_ms" in body.get("timings", {}):
            self.queue = body["timings"]["queue_ms"] / 1000


def read_stream(wire: Wire, started: float) -> Answer:
    """Read a stream to its end; `started` is when the request was sent, by the monotonic clock.

    Raises:
        BadAnswerError: it held an error, or broke off.
    """
    answer = Answer()
    last = started
    done = False
    while event := wire.readline(b"\n\n"):
        if _TEXT.search(event):
            now = time.perf_counter()
            if answer.ttft is None:
                answer.ttft = now - started
            else:
                answer.gaps.append(round(now - last, 5))
            last = now
        if event.startswith(b'data: {"error"'):
            raise BadAnswerError(f"error amid the stream: {error_code(event[6:])}")
        if b'"usage":{' in event or b'"timings":{' in event:
            answer.take(json.loads(event[6:]))
        done = done or event.startswith(_DONE)
    if not done:
        raise BadAnswerError("the stream ended early")
    return answer


def read_body(content: bytes) -> Answer:
    """Judge an answer that came in one piece.

    Raises:
        BadAnswerError: it is not what was asked for.
    """
    try:
        body = json.loads(content)
    except ValueError:
        raise BadAnswerError("no JSON") from None
    if not isinstance(body, dict) or not any(body.get(key) for key in ("choices", "data", "results")):
        raise BadAnswerError("neither choices nor data nor results")
    answer = Answer()
    answer.take(body)
    return answer


def check_extraction(content: bytes) -> None:
    """Whether a whole answer in a JSON schema is JSON; one that was cut off need not be.

    Raises:
        BadAnswerError: it is not.
    """
    choice = json.loads(content)["choices"][0]
    if choice["finish_reason"] == "stop":
        try:
            json.loads(choice["message"]["content"])
        except ValueError:
            raise BadAnswerError("an answer that breaks its schema") from None


def refusal(status: int, content: bytes) -> str | None:
    """Why a response is a failure; None for a good one."""
    return None if status == _OK else f"{status} {error_code(content)}".strip()


def error_code(content: bytes) -> str:
    """The code, or else the type, of an error body."""
    try:
        error = json.loads(content)["error"]
        return str(error.get("code") or error.get("type"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
