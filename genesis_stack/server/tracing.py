"""Which trace a request belongs to, and its spans where the stack wants them.

Off, a request costs one look at its `traceparent`, so that logs still tell the caller's trace. On,
OpenTelemetry is imported, which takes a quarter of a second: nothing here may need it before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import Headers

from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.protocol.trace_context import TRACEPARENT, TraceContext
from genesis_stack.server.exchange import Exchange

RawHeaders = Sequence[tuple[bytes, bytes]]


class Trace(Protocol):
    """The trace of one request."""

    @property
    def context(self) -> TraceContext:
        """Its ids."""

    @property
    def response_headers(self) -> RawHeaders:
        """What tells the caller under which span it was recorded."""

    def finish(self, exchange: Exchange, seconds: float) -> None:
        """Keep what became known of the request, which took `seconds`."""


class Tracing(Protocol):
    """Makes the traces of one server."""

    def begin(self, path: str, headers: Headers) -> Trace:
        """The trace of a request that has just come in."""

    def close(self) -> None:
        """Hand over what is still held; may take seconds."""


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A trace of which this server keeps nothing."""

    context: TraceContext
    response_headers: RawHeaders = ()

    def finish(self, exchange: Exchange, seconds: float) -> None:
        """Nothing to keep."""


def unrecorded(headers: Headers) -> Trace:
    """The caller's trace, or a new one that nobody keeps."""
    given = headers.get(TRACEPARENT)
    return Unrecorded((given and TraceContext.parse(given)) or TraceContext.new())


class Off:
    """Tracing that is off: it passes the caller's trace on to the log, or makes one up."""

    def begin(self, path: str, headers: Headers) -> Trace:  # noqa: ARG002 -- all paths alike
        """The caller's trace, or a new one."""
        return unrecorded(headers)

    def close(self) -> None:
        """Nothing is held."""


def tracing_of(config: ServeConfig) -> Tracing:
    """What the configuration asks for."""
    if config.tracing is None:
        return Off()
    from genesis_stack.server.spans import Spans

    return Spans(config, config.tracing)
