"""Reads what a server answered, piece by piece as it arrived: HTTP/1.1, chunks, SSE, OpenAI's JSON.

Sources: RFC 9112 (message format, chunked coding) and the HTML standard's section on server-sent events.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

Segment = tuple[float, bytes]
"""When a piece of the answer arrived, and its bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the client saw it.

    `arrivals` are the instants at which text arrived, each with the number of SSE events that carried
    it. Events that came in one piece are one arrival, for no reader could have told them apart.
    `completion_tokens` are the server's own count, or, where it gives none, the number of events.
    """

    status: int
    complete: bool
    arrivals: tuple[tuple[float, int], ...]
    prompt_tokens: int | None
    completion_tokens: int
    error: str


def read_answer(segments: Sequence[Segment]) -> Answer:
    """The answer in these segments; one that was cut short has `complete` False."""
    raw = b"".join(piece for _, piece in segments)
    head, separator, _ = raw.partition(b"\r\n\r\n")
    if not separator:
        return _failed(0, "the headers were cut short" if raw else "no response")
    status = int(head.split(b" ", 2)[1])
    body = _Body(raw, len(head) + 4, chunked=b"transfer-encoding: chunked" in head.lower())
    if status != 200:
        return _failed(status, body.payload[:300].decode(errors="replace"))
    ends = list(accumulate(len(piece) for _, piece in segments))
    reader = _EventReader()
    for offset, data in body.data_lines():
        reader.feed(segments[bisect_right(ends, offset)][0], data)
    return reader.answer(status)


def _failed(status: int, error: str) -> Answer:
    return Answer(
        status=status, complete=False, arrivals=(), prompt_tokens=None, completion_tokens=0, error=error
    )


class _Body:
    """The payload of a message, which still knows where in the raw answer each of its bytes stood."""

    def __init__(self, raw: bytes, start: int, *, chunked: bool) -> None:
        pieces = list(_chunks(raw, start)) if chunked else [(start, raw[start:])]
        self.payload = b"".join(piece for _, piece in pieces)
        self._raw_starts = [raw_start for raw_start, _ in pieces]
        self._starts = [0, *accumulate(len(piece) for _, piece in pieces)][:-1]

    def data_lines(self) -> Iterator[tuple[int, bytes]]:
        """Each complete `data:` line with the raw offset of its last byte."""
        start = 0
        while (end := self.payload.find(b"\n", start)) >= 0:
            line = self.payload[start:end].rstrip(b"\r")
            if line.startswith(b"data:"):
                piece = bisect_right(self._starts, end) - 1
                yield self._raw_starts[piece] + end - self._starts[piece], line[5:].strip()
            start = end + 1


def _chunks(raw: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    while (end := raw.find(b"\r\n", start)) >= 0:
        size = int(raw[start:end].split(b";")[0], 16)
        if size == 0:
            return
        yield end + 2, raw[end + 2 : end + 2 + size]
        start = end + 2 + size + 2


class _EventReader:
    """Collects the events of one stream."""

    def __init__(self) -> None:
        self._arrivals: list[tuple[float, int]] = []
        self._usage: dict[str, Any] = {}
        self._finished = False
        self._done = False
        self._error = ""

    def feed(self, at: float, data: bytes) -> None:
        if data == b"[DONE]":
            self._done = True
            return
        event = json.loads(data)
        if "error" in event:
            self._error = json.dumps(event["error"])[:300]
        self._usage = event.get("usage") or self._usage
        for choice in event.get("choices", ()):
            delta = choice.get("delta", {})
            if delta.get("content") or delta.get("reasoning_content"):
                self._count(at)
            self._finished = self._finished or bool(choice.get("finish_reason"))

    def _count(self, at: float) -> None:
        if self._arrivals and self._arrivals[-1][0] == at:
            self._arrivals[-1] = (at, self._arrivals[-1][1] + 1)
        else:
            self._arrivals.append((at, 1))

    def answer(self, status: int) -> Answer:
        complete = self._done and self._finished and not self._error
        return Answer(
            status=status,
            complete=complete,
            arrivals=tuple(self._arrivals),
            prompt_tokens=self._usage.get("prompt_tokens"),
            completion_tokens=self._usage.get("completion_tokens") or sum(n for _, n in self._arrivals),
            error=self._error or ("" if complete else "the stream was cut short"),
        )
