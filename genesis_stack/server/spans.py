"""OpenTelemetry spans of requests: `request`, with `queue`, `prefill` and `decode` inside.

A request costs its event loop one span at its start; the rest follows from the engine's timings when it is
over. Spans leave in batches from a thread of their own; when they come faster than they leave, some are
dropped and no request waits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from starlette.datastructures import Headers

from genesis_stack import __version__
from genesis_stack.protocol import telemetry as names
from genesis_stack.protocol.serve_config import ServeConfig, TracingConfig
from genesis_stack.protocol.trace_context import TRACERESPONSE, TraceContext
from genesis_stack.server.config_file import ConfigError
from genesis_stack.server.content import input_json, output_json
from genesis_stack.server.exchange import POLLED_PATHS, Exchange
from genesis_stack.server.secret_files import secret_path
from genesis_stack.server.tracing import RawHeaders, Trace, unrecorded

_NS: Final = 1_000_000_000
_LAST_EXPORT_S: Final = 3.0
"""How long the end of the process may wait for the last spans."""


class Spans:
    """Tracing that is on; the sampling decision of a caller is kept."""

    def __init__(self, config: ServeConfig, tracing: TracingConfig) -> None:
        resource = Resource(
            {
                "service.name": names.SERVICE,
                "service.version": __version__,
                "service.instance.id": config.model,
            }
        )
        self._model = config.model
        self._content = tracing.content
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(tracing.sample)), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(config, tracing)))
        self._tracer = self._provider.get_tracer("genesis_stack", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, path: str, headers: Headers) -> Trace:
        """Begin the request's span, as a child of the caller's if it names one."""
        if path in POLLED_PATHS:
            return unrecorded(headers)
        caller = self._propagator.extract(headers)
        began = time.time_ns()
        span = self._tracer.start_span(
            names.SPAN_REQUEST, context=caller, kind=SpanKind.SERVER, start_time=began
        )
        return _Recorded(span, began, self._tracer, self._model, content=self._content)

    def close(self) -> None:
        """Export what is left, for seconds at most: the SDK would wait half a minute for a collector."""
        exporting = Thread(target=self._provider.shutdown, daemon=True)
        exporting.start()
        exporting.join(_LAST_EXPORT_S)


class _Recorded:
    """The span of one request; if it is not sampled, ending it does nothing."""

    def __init__(self, span: Span, began: int, tracer: Tracer, model: str, *, content: bool) -> None:
        self._span = span
        self._began = began
        self._tracer = tracer
        self._model = model
        self._content = content
        ids = span.get_span_context()
        self.context = TraceContext(
            f"{ids.trace_id:032x}", f"{ids.span_id:016x}", sampled=ids.trace_flags.sampled
        )

    @property
    def response_headers(self) -> RawHeaders:
        """The span's own context."""
        return ((TRACERESPONSE.encode(), self.context.header().encode()),)

    def finish(self, exchange: Exchange, seconds: float) -> None:
        """Add what became known, the engine's phases as children, and end it."""
        span = self._span
        if span.is_recording():
            span.set_attributes(_attributes(exchange, self._model))
            if self._content and exchange.asked is not None:
                span.set_attribute(names.INPUT_MESSAGES, input_json(exchange.asked))
                span.set_attribute(names.OUTPUT_MESSAGES, output_json(exchange.answers or {}))
            if exchange.outcome >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR, exchange.error))
            self._add_phases(exchange)
        span.end(self._began + round(seconds * _NS))

    def _add_phases(self, exchange: Exchange) -> None:
        """The engine tells durations; they follow each other from the moment of submission."""
        timings = exchange.timings
        if timings is None or exchange.submitted is None:
            return
        parent = trace.set_span_in_context(self._span)
        at = self._began + round((exchange.submitted - exchange.started) * _NS)
        phases = (
            (names.SPAN_QUEUE, timings.queue),
            (names.SPAN_PREFILL, timings.prefill),
            (names.SPAN_DECODE, timings.decode),
        )
        for name, duration in phases:
            until = at + round(duration * _NS)
            self._tracer.start_span(name, context=parent, start_time=at).end(until)
            at = until


def _attributes(exchange: Exchange, model: str) -> Mapping[str, AttributeValue]:
    """What is known; the names are those of the table."""
    known: dict[str, AttributeValue | None] = {
        names.HTTP_METHOD: exchange.method,
        names.HTTP_ROUTE: exchange.route,
        names.HTTP_STATUS: exchange.status,
        names.ERROR_TYPE: exchange.error,
        names.REQUEST_ID: exchange.request_id,
        names.CLIENT: exchange.client,
    }
    if (operation := names.OPERATIONS.get(exchange.route or "")) is not None:
        known[names.OPERATION_NAME] = operation
        known[names.PROVIDER_NAME] = names.PROVIDER
        known[names.REQUEST_MODEL] = known[names.RESPONSE_MODEL] = model
    if (sampling := exchange.sampling) is not None:
        known[names.REQUEST_MAX_TOKENS] = sampling.max_tokens
        known[names.REQUEST_TEMPERATURE] = sampling.temperature
    if (usage := exchange.usage) is not None:
        known[names.USAGE_INPUT_TOKENS] = usage.prompt_tokens
        known[names.USAGE_CACHED_TOKENS] = usage.cached_tokens
        known[names.USAGE_OUTPUT_TOKENS] = usage.completion_tokens
    if exchange.finish is not None:
        known[names.RESPONSE_FINISH_REASONS] = (exchange.finish,)
    return {name: value for name, value in known.items() if value is not None}


def _exporter(config: ServeConfig, tracing: TracingConfig) -> SpanExporter:
    match tracing.exporter:
        case "otlp":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            return OTLPSpanExporter(endpoint=tracing.endpoint, headers=_headers(config, tracing))
        case "file":
            from genesis_stack.server.span_lines import FileExporter

            return FileExporter(Path(tracing.file or ""))
        case "stdout":
            from genesis_stack.server.span_lines import StdoutExporter

            return StdoutExporter()


def _headers(config: ServeConfig, tracing: TracingConfig) -> dict[str, str] | None:
    """Of the secret's lines, `Name: value`; raises ConfigError if it cannot be read."""
    if tracing.headers_secret is None:
        return None
    path = secret_path(tracing.headers_secret, config.secrets)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"tracing.headers_secret: {path}: {exc.strerror}") from None
    pairs = (line.partition(":") for line in text.splitlines() if line.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
