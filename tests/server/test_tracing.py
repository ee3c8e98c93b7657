"""A request leaves spans that fit into its caller's trace, wherever the stack wants them."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from scripted_engine import ScriptedEngine, saying
from serving import MODEL, Served, serving
from span_files import spans_in

from genesis_stack.engine.interface import FinishReason
from genesis_stack.protocol import telemetry as names
from genesis_stack.protocol.serve_config import ServeConfig, TracingConfig
from genesis_stack.protocol.trace_context import TraceContext
from genesis_stack.server.config_file import ConfigError, ConfigFile
from genesis_stack.server.span_lines import FileExporter

CALLER = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}
PROMPT = "the colour of the garden gate"


@asynccontextmanager
async def tracing(
    config: ServeConfig, engine: ScriptedEngine | None = None, **changes: Any
) -> AsyncGenerator[Served]:
    """A server whose spans go where `changes` say; all of them have arrived when the context ends."""
    settings = {"endpoint": None, "headers_secret": None, "file": None, "sample": 1.0, "content": False}
    traced = config.model_copy(update={"tracing": TracingConfig(**(settings | changes))})
    async with serving(traced) as serve:
        served = await serve(engine or ScriptedEngine())
        try:
            yield served
        finally:
            served.app.tracing.close()


def attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by name; the value is the only entry of its typed object."""
    return {entry["key"]: next(iter(entry["value"].values())) for entry in span["attributes"]}


async def test_a_request_leaves_its_phases(config: ServeConfig, tmp_path: Path) -> None:
    """Queue, prefill and decode follow each other inside the request, with the engine's durations."""
    path = tmp_path / "traces.jsonl"
    async with tracing(config, exporter="file", file=str(path)) as served:
        response = await served.chat(max_tokens=9)
    spans = {span["name"]: span for span in spans_in(path)}
    assert list(spans) == ["queue", "prefill", "decode", "request"]
    request, phases = spans["request"], [spans[name] for name in ("queue", "prefill", "decode")]
    assert {phase["parentSpanId"] for phase in phases} == {request["spanId"]}
    assert {span["traceId"] for span in spans.values()} == {response.headers["x-request-id"]}
    lengths = [int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) for span in phases]
    assert lengths == [1_000_000, 2_000_000, 3_000_000]
    assert phases[0]["endTimeUnixNano"] == phases[1]["startTimeUnixNano"]
    told = attributes(request)
    assert told[names.OPERATION_NAME] == "chat"
    assert told[names.REQUEST_MAX_TOKENS] == "9"
    assert told[names.USAGE_OUTPUT_TOKENS] == "2"
    assert told[names.HTTP_STATUS] == "200"


async def test_a_request_joins_its_caller_s_trace(config: ServeConfig, tmp_path: Path) -> None:
    """W3C context in: the caller's span is the parent. Out: the answer names the span it became."""
    path = tmp_path / "traces.jsonl"
    async with tracing(config, exporter="file", file=str(path)) as served:
        response = await served.http.get("/v1/models", headers={"traceparent": CALLER.header()})
    (span,) = spans_in(path)
    assert (span["traceId"], span["parentSpanId"]) == (CALLER.trace_id, CALLER.span_id)
    assert response.headers["x-request-id"] == CALLER.trace_id
    told = TraceContext.parse(response.headers["traceresponse"])
    assert told == TraceContext(CALLER.trace_id, span["spanId"], sampled=True)


@pytest.mark.parametrize("sampled", [True, False])
async def test_the_caller_s_sampling_decision_is_kept(
    config: ServeConfig, tmp_path: Path, sampled: bool
) -> None:
    """Half a trace is worth nothing: the declared share is for requests that begin one."""
    path = tmp_path / "traces.jsonl"
    caller = TraceContext(CALLER.trace_id, CALLER.span_id, sampled=sampled)
    async with tracing(config, exporter="file", file=str(path), sample=float(not sampled)) as served:
        await served.http.get("/v1/models", headers={"traceparent": caller.header()})
    assert len(spans_in(path)) == int(sampled)


async def test_an_unsampled_request_leaves_nothing(config: ServeConfig, tmp_path: Path) -> None:
    """Yet it has an id."""
    path = tmp_path / "traces.jsonl"
    async with tracing(config, exporter="file", file=str(path), sample=0.0) as served:
        assert len((await served.chat()).headers["x-request-id"]) == 32
    assert spans_in(path) == []


@pytest.mark.parametrize("content", [True, False])
async def test_prompts_are_in_spans_only_by_choice(
    config: ServeConfig, tmp_path: Path, content: bool
) -> None:
    """Without it not a word of them is anywhere in the file."""
    path = tmp_path / "traces.jsonl"
    engine = ScriptedEngine(saying("painted", " green"))
    async with tracing(config, engine, exporter="file", file=str(path), content=content) as served:
        await served.chat(PROMPT)
    text = path.read_text(encoding="utf-8")
    assert (PROMPT in text, "painted green" in text) == (content, content)


async def test_a_failure_is_an_error_in_its_span(config: ServeConfig, tmp_path: Path) -> None:
    """By OpenAI's code, for a filter to find."""
    path = tmp_path / "traces.jsonl"
    engine = ScriptedEngine(saying(finish=FinishReason.ERROR))
    async with tracing(config, engine, exporter="file", file=str(path)) as served:
        await served.chat()
    span = spans_in(path)[-1]
    assert span["status"] == {"code": 2, "message": "engine_error"}
    assert attributes(span)[names.ERROR_TYPE] == "engine_error"


async def test_polls_leave_no_spans(config: ServeConfig, tmp_path: Path) -> None:
    """Health and metrics are asked every few seconds and would bury the rest."""
    path = tmp_path / "traces.jsonl"
    async with tracing(config, exporter="file", file=str(path)) as served:
        await served.http.get("/health")
        await served.http.get("/metrics")
    assert spans_in(path) == []


async def test_spans_on_stdout_are_one_json_object_a_line(
    config: ServeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a service manager that keeps what programs print."""
    async with tracing(config, exporter="stdout") as served:
        await served.http.get("/v1/models")
    (line,) = capsys.readouterr().out.splitlines()
    assert "resourceSpans" in json.loads(line)


async def test_lines_are_what_a_collector_would_have_got(config: ServeConfig, tmp_path: Path) -> None:
    """Read as protobuf's JSON they are the messages that OpenTelemetry's own encoder makes."""
    path = tmp_path / "traces.jsonl"
    engine = ScriptedEngine(saying(finish=FinishReason.ERROR))
    exported: list[ReadableSpan] = []
    async with tracing(config, engine, exporter="file", file=str(path)) as served:
        tap = InMemorySpanExporter()
        served.app.tracing._provider.add_span_processor(SimpleSpanProcessor(tap))  # type: ignore[attr-defined]
        state = {"traceparent": CALLER.header(), "tracestate": "vendor=1,other=a"}
        await served.post("/v1/chat/completions", CHAT, **state)
        exported += tap.get_finished_spans()
    (line,) = path.read_text(encoding="utf-8").splitlines()
    read = Parse(_with_base64_ids(line), ExportTraceServiceRequest())
    assert read == encode_spans(exported)


def _with_base64_ids(line: str) -> str:
    """OTLP spells ids in hex where protobuf's own JSON has base64."""
    return re.sub(
        r'"(traceId|spanId|parentSpanId)":"([0-9a-f]+)"',
        lambda id_: f'"{id_[1]}":"{base64.b64encode(bytes.fromhex(id_[2])).decode()}"',
        line,
    )


async def test_a_collector_gets_spans_and_the_secret_header(config: ServeConfig, tmp_path: Path) -> None:
    """OTLP over HTTP in protobuf, headers from the secret's file."""
    got: list[tuple[str, str | None, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, self.headers["x-tenant"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    (tmp_path / "collector").write_text("X-Tenant: gardens\n")
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        reading = config.model_copy(update={"secrets": str(tmp_path)})
        async with tracing(reading, exporter="otlp", endpoint=endpoint, headers_secret="collector") as served:
            await served.http.get("/v1/models")
        server.shutdown()
    ((path, tenant, body),) = got
    assert (path, tenant) == ("/v1/traces", "gardens")
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert resource.scope_spans[0].spans[0].name == "request"


async def test_a_collector_that_hangs_does_not_hold_the_stop(
    config: ServeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last spans are lost instead."""
    monkeypatch.setattr("genesis_stack.server.spans._LAST_EXPORT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        async with tracing(config, exporter="otlp", endpoint=endpoint) as served:
            await served.http.get("/v1/models")
            began = time.monotonic()
            served.app.tracing.close()
            assert time.monotonic() - began < 5


async def test_what_spans_need_and_is_not_there_is_told(config: ServeConfig, tmp_path: Path) -> None:
    """With its name, as a mistake of the configuration."""
    (tmp_path / "taken").touch()
    reading = config.model_copy(update={"secrets": str(tmp_path)})
    for changes in (
        {"exporter": "file", "file": str(tmp_path / "taken/traces.jsonl")},
        {"exporter": "otlp", "endpoint": "http://127.0.0.1:1", "headers_secret": "nowhere"},
    ):
        with pytest.raises(ConfigError, match=r"tracing\..*(taken|nowhere)"):
            async with tracing(reading, **changes):
                pass


async def test_exemplars_lead_from_a_bucket_to_a_trace(config: ServeConfig, tmp_path: Path) -> None:
    """The latency histogram names a sampled request's trace."""
    async with tracing(config, exporter="file", file=str(tmp_path / "traces.jsonl")) as served:
        trace_id = (await served.chat()).headers["x-request-id"]
        text = (await served.http.get("/metrics", headers={"accept": "application/openmetrics-text"})).text
    exemplars = [
        sample.exemplar.labels
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name == "llamacpp:request_latency_seconds" and sample.exemplar
    ]
    assert exemplars == [{"trace_id": trace_id}]


def test_a_full_file_turns_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else rotates it in a sandbox."""
    monkeypatch.setattr("genesis_stack.server.span_lines.FILE_BYTES", 10)
    monkeypatch.setattr("genesis_stack.server.span_lines.line_of", lambda _: "x" * 8)
    exporter = FileExporter(tmp_path / "traces.jsonl")
    for _ in range(9):
        exporter.export(())
    exporter.shutdown()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "traces.jsonl",
        *(f"traces.jsonl.{number}" for number in range(1, 5)),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    ],
)
async def test_a_malformed_traceparent_begins_a_new_trace(served: Served, header: str) -> None:
    """As the standard wants it; it never fails a request."""
    assert TraceContext.parse(header) is None
    response = await served.http.get("/health", headers={"traceparent": header})
    assert response.headers["x-request-id"] not in header


def test_a_later_version_of_traceparent_is_understood() -> None:
    """Its first four fields mean the same."""
    assert TraceContext.parse(f"01{CALLER.header()[2:]}-more") == CALLER


async def test_off_is_the_default(served: Served) -> None:
    """The caller's trace still names the request."""
    response = await served.http.get("/health", headers={"traceparent": CALLER.header()})
    assert response.headers["x-request-id"] == CALLER.trace_id
    assert "traceresponse" not in response.headers


def test_a_server_that_traces_nothing_imports_nothing_of_it() -> None:
    """It takes a quarter of a second, half of what a server has to start."""
    code = "import sys, genesis_stack.server.lifecycle as _; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_tracing_without_the_extra_is_refused_with_the_command(
    config: ServeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is loaded or listens."""
    tracing = TracingConfig(
        exporter="stdout", endpoint=None, headers_secret=None, file=None, sample=1.0, content=False
    )
    path = tmp_path / "config.json"
    path.write_text(config.model_copy(update={"tracing": tracing}).model_dump_json())
    monkeypatch.setattr("genesis_stack.server.config_file.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'genesis-stack\[tracing\]'") as refused:
        ConfigFile.read(path)
    assert refused.value.exit_code == os.EX_CONFIG


def test_every_path_that_runs_the_model_has_an_operation(served: Served) -> None:
    """A new one without its word would leave spans that no dashboard counts."""
    running = {route.path for route in served.app.routes if route.path.startswith("/v1/")}
    without = {"/v1/models", "/v1/models/{model:path}", "/v1/messages/count_tokens"}
    assert running - without == names.OPERATIONS.keys()
