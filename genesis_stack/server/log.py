"""One line an event on stderr: JSON for journals and files, readable text on a terminal.

The standard library's logging with a formatter: richer libraries cost more to import than the server
has to start.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from genesis_stack.server.errors import CLIENT_CLOSED_REQUEST
from genesis_stack.server.exchange import Exchange

_OWN: Final = logging.getLogger("genesis_stack.server.access")

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_QUIET_PATHS: Final = frozenset({"/health", "/metrics"})
"""Polled every few seconds: their successes are logged at debug level only."""


def configure(stream: TextIO | None = None) -> None:
    """Send everything from level INFO to `stream` (stderr)."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_TextFormatter() if stream.isatty() else _JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def log_exchange(exchange: Exchange, seconds: float) -> None:
    """The one line of a request; durations are milliseconds."""
    fields: dict[str, Any] = {
        "request_id": exchange.request_id,
        "method": exchange.method,
        "path": exchange.path[:256],
        "status": exchange.status or CLIENT_CLOSED_REQUEST,
        "duration_ms": round(seconds * 1e3, 1),
        "peer": exchange.peer,
    }
    if exchange.first_output is not None:
        fields["ttft_ms"] = round((exchange.first_output - exchange.started) * 1e3, 1)
    if (usage := exchange.usage) is not None:
        fields["prompt_tokens"] = usage.prompt_tokens
        fields["cached_tokens"] = usage.cached_tokens
        fields["completion_tokens"] = usage.completion_tokens
    optional = {
        "finish": exchange.finish,
        "error": exchange.error,
        "ignored_fields": list(exchange.ignored_fields[:8]),
    }
    fields |= {name: value for name, value in optional.items() if value}
    quiet = exchange.path in _QUIET_PATHS and exchange.error is None
    _OWN.log(logging.DEBUG if quiet else logging.INFO, "request", extra=fields)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class _JsonFormatter(logging.Formatter):
    """A JSON object a line; a line break in any value is escaped, so no client can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class _TextFormatter(logging.Formatter):
    """Time, event and `name=value` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        pairs = " ".join(f"{name}={value!r}" for name, value in _fields(record).items())
        line = f"{time} {record.levelname.lower():7} {record.getMessage()} {pairs}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
