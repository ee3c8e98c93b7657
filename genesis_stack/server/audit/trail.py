"""Takes what happened from the event loop without waiting, and writes it on a thread of its own.

A record that cannot be written is kept and tried again; while the sink fails, records queue up to a bound.
Beyond it they are counted as lost, in the log, in the metrics and in the chain itself. What was answered
within the last moments before a crash or power cut may be missing: a response does not wait for its record.
Records are gathered for a twentieth of a second: a busy server writes and syncs once for many requests.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from genesis_stack import __version__
from genesis_stack.protocol.audit import ORIGIN, Segment
from genesis_stack.protocol.serve_config import AuditConfig, ServeConfig
from genesis_stack.server.audit.sinks import FileSink, JournalSink, Sink
from genesis_stack.server.errors import CLIENT_CLOSED_REQUEST
from genesis_stack.server.exchange import POLLED_PATHS, Exchange

MOST_WAITING: Final = 10_000
"""Records that wait for a sink: some megabytes."""

BATCH: Final = 256
"""Records of one write and one sync."""

GATHER_S: Final = 0.05
"""How long a batch waits for more records."""

RETRY_S: Final = 1.0
CLOSE_S: Final = 5.0
"""How long the end waits for the last records."""

_log = logging.getLogger(__name__)

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to be."""

    kind: str
    time: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Records written and lost so far, whether the sink fails now, and the hash of the last one written."""

    written: int = 0
    lost: int = 0
    failing: bool = False
    head: str = ORIGIN


class AuditTrail(Protocol):
    """Where the boundary reports finished requests."""

    @property
    def standing(self) -> Standing:
        """How it does."""

    def record(self, exchange: Exchange, seconds: float) -> None:
        """Note a finished exchange."""

    def close(self) -> None:
        """Write what waits, and the end."""


class NoTrail:
    """The stack wants no audit record."""

    standing = Standing()

    def record(self, exchange: Exchange, seconds: float) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class WrittenTrail:
    """Opens a sink and writes to it, from construction to `close`."""

    def __init__(self, open_sink: Callable[[], Sink], model: str) -> None:
        self.standing = Standing()
        self._open_sink = open_sink
        self._model = model
        self._queue: queue.Queue[Entry | None] = queue.Queue(MOST_WAITING)
        self._refused = 0
        self._thread = threading.Thread(target=self._write_for_ever, name="audit", daemon=True)
        self._thread.start()

    def record(self, exchange: Exchange, seconds: float) -> None:
        """Note a finished exchange; polling that succeeds is none."""
        if exchange.path in POLLED_PATHS and exchange.error is None:
            return
        self._put(Entry("request", _now(), _fields(exchange, seconds, self._model)))

    def close(self) -> None:
        """Write what waits, and the end; what cannot be written in `CLOSE_S` seconds is lost, and said."""
        self._put(Entry("stop", _now(), {}))
        self._put(None)
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            _log.critical("audit records are lost: %d could not be written at the end", self._queue.qsize())

    def _put(self, entry: Entry | None) -> None:
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            if self._refused == self.standing.lost:
                _log.critical("audit records are being lost: the sink has taken none for too long")
            self._refused += 1

    def _write_for_ever(self) -> None:
        sink = self._until_done(self._open_sink)
        segment = Segment(sink.last)
        torn = {} if sink.torn is None else {"torn": sink.torn}
        entries: list[Entry | None] = [
            Entry("start", _now(), {"model": self._model, "version": __version__, **torn})
        ]
        while None not in entries:
            self._write(entries, segment, sink)
            entries = [self._queue.get()]
            if entries != [None]:
                time.sleep(GATHER_S)
            while len(entries) < BATCH and not self._queue.empty():
                entries.append(self._queue.get_nowait())
        self._write(entries, segment, sink)
        sink.close()

    def _write(self, entries: Sequence[Entry | None], segment: Segment, sink: Sink) -> None:
        """Seal and write the batch, with word of those that found no room."""
        batch = [entry for entry in entries if entry is not None]
        lost = self._refused - self.standing.lost
        if lost:
            batch.append(Entry("lost", _now(), {"lost": lost}))
        lines = b"".join(segment.seal(entry.kind, entry.time, entry.fields) for entry in batch)
        self._until_done(lambda: sink.write(lines, segment.last))
        standing = self.standing
        self.standing = Standing(standing.written + len(batch), standing.lost + lost, head=segment.last)

    def _until_done(self, attempt: Callable[[], Done]) -> Done:
        """Try again and again; the first failure and the first success after it are told."""
        while True:
            try:
                done = attempt()
            except OSError as exc:
                if not self.standing.failing:
                    _log.critical("the audit record cannot be written; it is tried again: %s", exc)
                self.standing = replace(self.standing, failing=True)
                time.sleep(RETRY_S)
            else:
                if self.standing.failing:
                    _log.warning("the audit record is written again")
                self.standing = replace(self.standing, failing=False)
                return done


def open_trail(config: ServeConfig) -> AuditTrail:
    """The trail that the configuration asks for; it waits for nothing."""
    if config.audit.sink == "off":
        return NoTrail()
    return WrittenTrail(partial(_sink, config.audit), config.model)


def _sink(config: AuditConfig) -> Sink:
    directory = Path(config.directory)
    return FileSink(directory) if config.sink == "file" else JournalSink(directory)


def _fields(exchange: Exchange, seconds: float, model: str) -> dict[str, Any]:
    """Who, what, outcome and cost; nothing that was said, and no path that a client made up.

    `status` is what the client was sent, `outcome` how it ended: a stream that broke is `failed` with 200.
    """
    fields: dict[str, Any] = {
        "request_id": exchange.request_id,
        "peer": exchange.peer,
        "method": exchange.method[:16],
        "route": exchange.route or "unknown",
        "model": model,
        "status": exchange.answered,
        "outcome": _outcome(exchange.outcome),
        "duration_ms": round(seconds * 1e3, 1),
    }
    if (usage := exchange.usage) is not None:
        fields["prompt_tokens"] = usage.prompt_tokens
        fields["cached_tokens"] = usage.cached_tokens
        fields["completion_tokens"] = usage.completion_tokens
    if (verdict := exchange.guard) is not None:
        fields["guard"] = verdict.outcome
        fields["guard_score"] = round(verdict.score, 2)
        fields["guard_patterns"] = verdict.patterns
        fields["guard_families"] = list(verdict.families)
    optional = {
        "client": exchange.client,
        "key_id": exchange.key_id,
        "finish": exchange.finish,
        "error": exchange.error,
        "auth_failure": exchange.auth_failure,
        "limited": exchange.limited,
    }
    return fields | {name: value for name, value in optional.items() if value is not None}


def _outcome(status: int) -> str:
    if status == CLIENT_CLOSED_REQUEST:
        return "gone"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "failed"
    return "refused" if status >= HTTPStatus.BAD_REQUEST else "done"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
