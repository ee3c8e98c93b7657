"""OpenTelemetry spans and metrics of calls, where the program uses OpenTelemetry, and nothing where not.

Only the API is used, and only if the program has imported it: whoever configures an SDK has. Names are in
`protocol.telemetry`. No prompt and no answer is recorded unless `capture_content` says so.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_json

from genesis_stack.client.redaction import without_context
from genesis_stack.client.results import Completion, Usage
from genesis_stack.protocol import telemetry as names

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

_SCOPE: Final = "genesis_stack.client"


@dataclass(slots=True)
class CallSpan:
    """One call of the library; without OpenTelemetry it is only its id."""

    request_id: str
    operation: str
    span: Span | None = None
    usage: Usage = field(default_factory=Usage)

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes."""
        if self.span is not None:
            self.span.set_attributes({name: value for name, value in attributes.items() if value is not None})


class Tracing:
    """Makes the spans of one client."""

    def __init__(self, *, capture_content: bool) -> None:
        self._capture = capture_content
        self._histograms: tuple[Any, Any] | None = None

    @contextmanager
    def call(
        self, operation: str, model: str | None, body: Mapping[str, Any], request_id: str | None
    ) -> Iterator[CallSpan]:
        """The span around a call, with its retries and fallbacks."""
        tracer = _tracer()
        if tracer is None:
            with without_context():
                yield CallSpan(request_id or secrets.token_hex(16), operation)
            return
        span = tracer.start_span(names.SPAN_COMPLETE, attributes=self._asked(operation, model, body))
        trace_id = span.get_span_context().trace_id
        own_id = f"{trace_id:032x}" if trace_id else secrets.token_hex(16)
        call = CallSpan(request_id or own_id, operation, span)
        call.set({names.REQUEST_ID: call.request_id})
        started = time.perf_counter()
        error: str | None = None
        try:
            with without_context():
                yield call
        except BaseException as failure:
            error = type(failure).__name__
            _mark(span, error)
            raise
        finally:
            self._measure(call, model, time.perf_counter() - started, error)
            span.end()

    @contextmanager
    def attempt(self, call: CallSpan, number: int, url: str, model: str) -> Iterator[dict[str, str]]:
        """The span around one HTTP request; gives the fields that hand the trace on to the server."""
        tracer = _tracer() if call.span is not None else None
        if tracer is None or call.span is None:
            yield {}
            return
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind, set_span_in_context

        span = tracer.start_span(
            names.SPAN_ATTEMPT.format(attempt=number),
            context=set_span_in_context(call.span),
            kind=SpanKind.CLIENT,
            attributes={names.REQUEST_MODEL: model, "server.address": url},
        )
        headers: dict[str, str] = {}
        propagate.inject(headers, context=set_span_in_context(span))
        try:
            yield headers
        except BaseException as failure:
            _mark(span, type(failure).__name__)
            raise
        finally:
            span.end()

    def answered(self, call: CallSpan, completion: Completion) -> None:
        """Note what came back."""
        call.usage = completion.usage
        call.set(
            {
                names.RESPONSE_MODEL: completion.model,
                names.RESPONSE_FINISH_REASONS: [completion.finish_reason or "unknown"],
                names.USAGE_INPUT_TOKENS: completion.usage.prompt_tokens,
                names.USAGE_OUTPUT_TOKENS: completion.usage.completion_tokens,
                names.OUTPUT_MESSAGES: completion.text if self._capture else None,
            }
        )

    def _asked(self, operation: str, model: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        messages = to_json(body.get("messages")).decode() if self._capture else None
        attributes = {
            names.OPERATION_NAME: operation,
            names.PROVIDER_NAME: names.PROVIDER,
            names.REQUEST_MODEL: model,
            names.REQUEST_MAX_TOKENS: body.get("max_tokens"),
            names.REQUEST_TEMPERATURE: body.get("temperature"),
            names.INPUT_MESSAGES: messages,
        }
        return {name: value for name, value in attributes.items() if value is not None}

    def _measure(self, call: CallSpan, model: str | None, seconds: float, error: str | None) -> None:
        if self._histograms is None:
            from opentelemetry import metrics

            meter = metrics.get_meter(_SCOPE)
            self._histograms = (
                meter.create_histogram(names.CLIENT_DURATION, unit="s"),
                meter.create_histogram(names.CLIENT_TOKENS, unit="{token}"),
            )
        duration, tokens = self._histograms
        attributes = {names.OPERATION_NAME: call.operation, names.REQUEST_MODEL: model or "auto"}
        duration.record(seconds, attributes if error is None else {**attributes, names.ERROR_TYPE: error})
        for kind, count in (("input", call.usage.prompt_tokens), ("output", call.usage.completion_tokens)):
            if count:
                tokens.record(count, {**attributes, names.TOKEN_TYPE: kind})


def _tracer() -> Tracer | None:
    """OpenTelemetry's tracer if the program has it loaded; importing it here would cost every program."""
    trace = sys.modules.get("opentelemetry.trace")
    return None if trace is None else trace.get_tracer(_SCOPE)


def _mark(span: Span, error: str) -> None:
    """The error's name and no message: messages are for people, spans go to other machines."""
    from opentelemetry.trace import StatusCode

    span.set_attribute(names.ERROR_TYPE, error)
    span.set_status(StatusCode.ERROR, error)
