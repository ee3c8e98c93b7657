"""Spans as OTLP's JSON: one ExportTraceServiceRequest a line.

See OpenTelemetry's "OTLP file exporter" and "JSON protobuf encoding": ids are hex, 64-bit numbers text, enums
numbers. By way of the library's protobuf messages the same text takes eight times as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext
from pydantic_core import to_json

_REMOTENESS_KNOWN: Final = 0x100
"""SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK."""
_PARENT_IS_REMOTE: Final = 0x200
"""SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK."""


def line_of(spans: Sequence[ReadableSpan]) -> str:
    """Spans of one tracer as one line, without its end."""
    first = spans[0]
    scope = first.instrumentation_scope
    scope_spans: dict[str, Any] = {"spans": [_span(span) for span in spans]}
    if scope is not None:
        scope_spans["scope"] = {"name": scope.name, "version": scope.version}
    resource = {"attributes": _attributes(first.resource.attributes)}
    request = {"resourceSpans": [{"resource": resource, "scopeSpans": [scope_spans]}]}
    return to_json(request).decode()


def _span(span: ReadableSpan) -> dict[str, Any]:
    context, parent = span.context, span.parent
    fields: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": span.name,
        "kind": span.kind.value + 1,  # OTLP has UNSPECIFIED before the SDK's first
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value, "message": span.status.description or ""},
        "flags": _flags(parent),
    }
    if parent is not None:
        fields["parentSpanId"] = f"{parent.span_id:016x}"
    if context.trace_state:
        fields["traceState"] = context.trace_state.to_header()
    return fields


def _flags(parent: SpanContext | None) -> int:
    return _REMOTENESS_KNOWN | (_PARENT_IS_REMOTE if parent is not None and parent.is_remote else 0)


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: object) -> dict[str, Any]:
    """An AnyValue of protobuf."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(entry) for entry in value]}}
        case other:
            return {"stringValue": str(other)}
