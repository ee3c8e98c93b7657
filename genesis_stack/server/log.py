"""One line an event: JSON for journals and files, readable text on a terminal.

The standard library's logging with formatters: structlog takes a hundred milliseconds to import, a fifth of
what a server has to start.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TextIO

from genesis_stack.protocol.log_entry import text_of
from genesis_stack.protocol.serve_config import LogsConfig
from genesis_stack.server.content import input_json, output_json
from genesis_stack.server.exchange import POLLED_PATHS, Exchange
from genesis_stack.server.journal import Journal, is_journal

_OWN: Final = logging.getLogger("genesis_stack.server.access")

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(logs: LogsConfig, stream: TextIO | None = None) -> None:
    """Send everything from the configured level to the journal, or to `stream` (stderr)."""
    logging.basicConfig(level=logs.level.upper(), handlers=[_handler(stream or sys.stderr)], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _handler(stream: TextIO) -> logging.Handler:
    """Readable on a terminal, JSON everywhere else, with fields of their own where there is a journal."""
    handler = logging.StreamHandler(stream)
    if stream.isatty():
        handler.setFormatter(_TextFormatter(colours="NO_COLOR" not in os.environ))
        return handler
    if not is_journal(stream):
        handler.setFormatter(_JsonFormatter())
        return handler
    handler.setFormatter(_PrefixedFormatter())
    return _JournalHandler(handler)


def log_exchange(exchange: Exchange, seconds: float, *, content: bool) -> None:
    """The one line of a request; durations are milliseconds; with `content`, what was asked and answered."""
    fields: dict[str, Any] = {
        "request_id": exchange.request_id,
        "method": exchange.method,
        "path": exchange.path[:256],
        "status": exchange.outcome,
        "duration_ms": _ms(seconds),
        "peer": exchange.peer,
        **_usage(exchange),
    }
    optional = {
        "trace_id": exchange.trace_id if exchange.trace_id != exchange.request_id else None,
        "client": exchange.client,
        "finish": exchange.finish,
        "error": exchange.error,
        "auth_failure": exchange.auth_failure,
        "limited": exchange.limited,
        "guard": exchange.guard.outcome if exchange.guard and exchange.guard.outcome != "clean" else None,
        "ignored_fields": list(exchange.ignored_fields[:8]),
    }
    fields |= {name: value for name, value in optional.items() if value}
    if content and exchange.asked is not None:
        fields["input"] = input_json(exchange.asked)
        fields["output"] = output_json(exchange.answers or {})
    _OWN.log(_level(exchange), "request", extra=fields)


def _usage(exchange: Exchange) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if exchange.first_output is not None:
        fields["ttft_ms"] = _ms(exchange.first_output - exchange.started)
    if (timings := exchange.timings) is not None:
        fields["queue_ms"] = _ms(timings.queue)
        fields["prefill_ms"] = _ms(timings.prefill)
        fields["decode_ms"] = _ms(timings.decode)
    if (usage := exchange.usage) is not None:
        fields["prompt_tokens"] = usage.prompt_tokens
        fields["cached_tokens"] = usage.cached_tokens
        fields["completion_tokens"] = usage.completion_tokens
    return fields


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 1)


def _level(exchange: Exchange) -> int:
    """Also a health that says "not yet" is an answer, and is asked for several times a second meanwhile."""
    if exchange.path in POLLED_PATHS and exchange.error is None:
        return logging.DEBUG
    failed = exchange.outcome >= HTTPStatus.INTERNAL_SERVER_ERROR
    return logging.WARNING if failed else logging.INFO


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _entry(record: logging.LogRecord) -> dict[str, Any]:
    return {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        **_fields(record),
    }


class _JsonFormatter(logging.Formatter):
    """A JSON object a line; a line break in any value is escaped, so no client can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = _entry(record)
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class _PrefixedFormatter(_JsonFormatter):
    """With the priority in front, as sd-daemon(3) reads it."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_priority(record)}>{super().format(record)}"


class _JournalHandler(logging.Handler):
    """The JSON line as MESSAGE, with fields that journalctl matches; what it refuses goes to `otherwise`."""

    def __init__(self, otherwise: logging.Handler) -> None:
        super().__init__()
        self._otherwise = otherwise
        self._message = _JsonFormatter()
        self._journal: Journal | None = None
        with contextlib.suppress(OSError):
            self._journal = Journal()

    def emit(self, record: logging.LogRecord) -> None:
        if self._journal is not None:
            fields = {
                "MESSAGE": self._message.format(record),
                "PRIORITY": str(_priority(record)),
                "SYSLOG_IDENTIFIER": "genesis-serve",
                "GENESIS_EVENT": record.getMessage(),
            }
            own = _fields(record)
            fields |= {f"GENESIS_{name.upper()}": str(own[name]) for name in _MATCHED if name in own}
            try:
                self._journal.send(fields)
            except OSError:
                pass
            else:
                return
        self._otherwise.handle(record)

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        super().close()


_MATCHED: Final = ("request_id", "trace_id", "client", "status", "error")
"""What somebody looks for: `journalctl GENESIS_REQUEST_ID=…`."""

_PRIORITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels to those of syslog(3)."""


def _priority(record: logging.LogRecord) -> int:
    return next((priority for level, priority in _PRIORITIES if record.levelno >= level), 7)


class _TextFormatter(logging.Formatter):
    """For people."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        line = text_of(_entry(record), colours=self._colours)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
