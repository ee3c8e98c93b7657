"""Spans and metrics, by what a program's own OpenTelemetry hears of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from client.stand_in import MODEL, chat_reply, error_reply, stand_in, stream_reply
from genesis_stack.client import InvalidRequestError, LocalLLMClient, RateLimitedError

TRACE_ID = 0x0123456789ABCDEF0123456789ABCDEF
PROMPT = "the secret recipe"


@dataclass
class Heard(NonRecordingSpan):
    """A span that remembers."""

    name: str
    parent: trace.Span
    attributes: dict[str, Any] = field(default_factory=dict)
    ended: bool = False

    def __post_init__(self) -> None:
        super().__init__(
            SpanContext(TRACE_ID, id(self) & 0xFFFFFFFF, is_remote=False, trace_flags=TraceFlags(1))
        )

    def set_attribute(self, key: str, value: Any) -> None:
        """Remember."""
        self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Remember."""
        self.attributes.update(attributes)

    def end(self, end_time: int | None = None) -> None:  # noqa: ARG002 -- OpenTelemetry's signature
        """Remember."""
        self.ended = True


@dataclass
class Listener(trace.Tracer):
    """A tracer whose spans can be looked at."""

    spans: list[Heard] = field(default_factory=list)

    def start_span(self, name: str, context: Any = None, **given: Any) -> Heard:  # type: ignore[override]
        """Make a span."""
        span = Heard(name, trace.get_current_span(context), dict(given.get("attributes") or {}))
        self.spans.append(span)
        return span

    @contextmanager
    def start_as_current_span(self, name: str, **given: Any) -> Generator[Heard]:  # type: ignore[override]
        """Not used."""
        yield self.start_span(name, **given)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Sequence[Heard]:
    """What the client's tracer is told."""
    listener = Listener()
    monkeypatch.setattr(trace, "get_tracer", lambda *_args, **_named: listener)
    return listener.spans


async def test_a_call_is_a_span_with_a_span_for_each_attempt(heard: Sequence[Heard]) -> None:
    """By the names that the server's spans go with; the trace goes on to the server."""
    replies = iter([error_reply(500), chat_reply()])
    async with stand_in(lambda _: next(replies)) as server:
        endpoints = [{"url": server.url, "model": MODEL}]
        async with LocalLLMClient(endpoints=endpoints, retry={"initial": 0.0}) as client:
            answer = await client.complete_text(PROMPT, max_tokens=5)
    call, first, second = heard
    assert [span.name for span in heard] == ["local_llm_complete", "llm_api_call_1", "llm_api_call_2"]
    assert first.parent is second.parent is call
    assert all(span.ended for span in heard)
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.request.max_tokens"] == 5
    assert call.attributes["gen_ai.usage.input_tokens"] == 3
    assert first.attributes["error.type"] == "ServerFaultError"
    assert "error.type" not in call.attributes
    assert answer.request_id == f"{TRACE_ID:032x}"
    sent = server.requests[1].headers
    assert sent["x-request-id"] == answer.request_id
    assert sent["traceparent"].split("-")[1] == answer.request_id


async def test_no_prompt_is_in_a_span_unless_that_is_asked_for(heard: Sequence[Heard]) -> None:
    """Spans go to other machines."""
    async with stand_in(lambda _: chat_reply("An answer.")) as server:
        for capture in (False, True):
            endpoints = [{"url": server.url, "model": MODEL}]
            async with LocalLLMClient(endpoints=endpoints, capture_content=capture) as client:
                await client.complete_text(PROMPT)
    quiet, open_ = [span for span in heard if span.name == "local_llm_complete"]
    assert PROMPT not in repr(quiet.attributes)
    assert "An answer." not in repr(quiet.attributes)
    assert PROMPT in open_.attributes["gen_ai.input.messages"]
    assert open_.attributes["gen_ai.output.messages"] == "An answer."


async def test_a_stream_is_a_span_until_its_end(heard: Sequence[Heard]) -> None:
    """Also when it is left early."""
    async with (
        stand_in(lambda _: stream_reply("a", "b")) as server,
        LocalLLMClient(endpoints=[{"url": server.url, "model": MODEL}]) as client,
        client.stream(PROMPT) as stream,
    ):
        await anext(stream)
        assert not heard[0].ended
    assert heard[0].ended


async def test_a_failed_call_names_its_error(heard: Sequence[Heard]) -> None:
    """The kind, and no message."""
    async with stand_in(lambda _: error_reply(429, PROMPT)) as server:
        endpoints = [{"url": server.url, "model": MODEL}]
        async with LocalLLMClient(endpoints=endpoints, retry={"attempts": 1}) as client:
            with pytest.raises(RateLimitedError):
                await client.complete_text(PROMPT)
    assert heard[0].attributes["error.type"] == "RateLimitedError"
    assert PROMPT not in repr([span.attributes for span in heard])


async def test_calls_and_tokens_are_counted(heard: Sequence[Heard], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the histograms of the conventions, failures by their kind."""
    counts: list[tuple[str, float, Mapping[str, Any]]] = []

    class Meter:
        """Hands out histograms that remember."""

        def create_histogram(self, name: str, unit: str) -> Any:
            """One of them."""
            assert unit

            def record(value: float, attributes: Mapping[str, Any]) -> None:
                counts.append((name, value, attributes))

            return SimpleNamespace(record=record)

    monkeypatch.setattr(metrics, "get_meter", lambda _: Meter())
    replies = iter([chat_reply(), error_reply(400)])
    async with (
        stand_in(lambda _: next(replies)) as server,
        LocalLLMClient(endpoints=[{"url": server.url, "model": MODEL}]) as client,
    ):
        await client.complete_text(PROMPT, model=MODEL)
        with pytest.raises(InvalidRequestError):
            await client.complete_text(PROMPT)
    assert heard
    told = [(name, attributes.get("gen_ai.token.type"), value) for name, value, attributes in counts]
    assert told[1:3] == [
        ("gen_ai.client.token.usage", "input", 3),
        ("gen_ai.client.token.usage", "output", 2),
    ]
    assert [name for name, _, _ in told].count("gen_ai.client.operation.duration") == 2
    assert counts[-1][2]["error.type"] == "InvalidRequestError"


def test_a_program_without_opentelemetry_never_loads_it() -> None:
    """Near zero when off."""
    code = (
        "import asyncio, sys\n"
        "from genesis_stack.client import LocalLLMClient, ConnectionFailedError\n"
        "async def main():\n"
        "    async with LocalLLMClient(endpoints=[{'url': 'http://127.0.0.1:9', 'model': 'm'}],"
        " retry={'attempts': 1}) as client:\n"
        "        try: await client.complete_text('x')\n"
        "        except ConnectionFailedError: pass\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
