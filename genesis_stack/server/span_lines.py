"""Spans as lines of OTLP's JSON, for a server that has no network.

One ExportTraceServiceRequest a line, which a collector's `otlpjsonfile` receiver reads later; see
OpenTelemetry's "OTLP file exporter" and "JSON protobuf encoding": ids are hex, enums are numbers.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from genesis_stack.server.config_file import ConfigError

FILE_BYTES: Final = 16 * 1024 * 1024
"""Size at which the file becomes `.1`: nobody else rotates it."""
FILES: Final = 4
"""Rotated files that are kept."""

_IDS: Final = ("traceId", "spanId", "parentSpanId")

_log = logging.getLogger(__name__)


def line_of(spans: Sequence[ReadableSpan]) -> str:
    """One batch as one line of JSON."""
    request: dict[str, Any] = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
    for resource in request["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                _spell_ids_in_hex(span)
    return json.dumps(request, separators=(",", ":"))


def _spell_ids_in_hex(span: dict[str, Any]) -> None:
    """Protobuf's own JSON would have base64."""
    for name in _IDS:
        if name in span:
            span[name] = base64.b64decode(span[name]).hex()


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
