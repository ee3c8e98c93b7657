"""A call of the client library and what the server did for it are one trace."""

from __future__ import annotations

from pathlib import Path

import pytest
from live import live
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from serving import MODEL
from span_files import spans_in

from genesis_stack.client import LocalLLMClient


async def test_a_call_is_one_trace_from_the_program_to_the_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's request hangs below the attempt that asked for it, and the id is in the answer."""
    provider, kept = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", lambda name, *_args, **_named: provider.get_tracer(name))
    path = tmp_path / "traces.jsonl"
    tracing = {"exporter": "file", "endpoint": None, "headers_secret": None, "file": str(path)}
    with live(tmp_path, sections={"tracing": tracing | {"sample": 0.0, "content": False}}) as server:
        async with LocalLLMClient(endpoints=[{"url": server.url, "model": MODEL}]) as client:
            answer = await client.complete_text("Hi.", max_tokens=5)
    attempt, call = kept.get_finished_spans()
    assert (call.name, attempt.name) == ("local_llm_complete", "llm_api_call_1")
    spans = {span["name"]: span for span in spans_in(path)}
    assert spans.keys() == {"request", "queue", "prefill", "decode"}
    assert spans["request"]["parentSpanId"] == f"{attempt.context.span_id:016x}"
    assert {span["traceId"] for span in spans.values()} == {f"{call.context.trace_id:032x}"}
    assert answer.request_id == f"{call.context.trace_id:032x}"
