"""Spans as lines of OTLP's JSON, for a server that has no network; a collector reads them later."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from genesis_stack.server.config_file import ConfigError
from genesis_stack.server.otlp_json import line_of

FILE_BYTES: Final = 16 * 1024 * 1024
"""Size at which the file becomes `.1`: nobody else rotates it."""
FILES: Final = 4
"""Rotated files that are kept."""

_log = logging.getLogger(__name__)


class StdoutExporter(SpanExporter):
    """Writes to standard output."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write one batch."""
        sys.stdout.write(line_of(spans) + "\n")
        sys.stdout.flush()
        return SpanExportResult.SUCCESS


class FileExporter(SpanExporter):
    """Appends to a file, and turns it over before it fills the disk."""

    def __init__(self, path: Path) -> None:
        """Make the directory; raises ConfigError if nothing can be written there."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigError(f"tracing.file: {path.parent}: {exc.strerror}") from None
        self._file = _Lines(path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8", delay=True)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write one batch; a full disk loses spans, never a request."""
        record = logging.makeLogRecord({"msg": line_of(spans)})
        try:
            self._file.emit(record)
        except OSError as exc:
            _log.warning("spans could not be written: %s", exc)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        self._file.close()


class _Lines(RotatingFileHandler):
    """Raises what goes wrong instead of printing it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 -- logging's name
        raise  # noqa: PLE0704 -- logging calls this while it handles the exception
