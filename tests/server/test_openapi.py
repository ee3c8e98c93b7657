"""The OpenAPI document is true: for every route, for every status, against a live server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from live import Live, live
from serving import Served

from genesis_stack.protocol.serve_config import AccessConfig, ServeConfig
from genesis_stack.server.openapi import OPERATIONS, document

SEED = 20_251
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    """A server that tells what it offers, and takes bodies that break every other bound."""
    limits = {"max_body_bytes": 16_000_000}
    with live(tmp_path_factory.mktemp("openapi"), docs=True, limits=limits) as server:
        yield server


def test_every_route_is_described(served: Served) -> None:
    """With its method: no route without a description, no description without a route."""
    routes = {route.path.replace(":path", ""): route.methods or set() for route in served.app.routes}
    assert routes.keys() == OPERATIONS.keys()
    for path, operation in OPERATIONS.items():
        assert ("GET" if operation.asks is None else "POST") in routes[path]


def test_keys_are_described_where_clients_are_declared(config: ServeConfig) -> None:
    """401, 429 and the scheme; /health needs none."""
    chat = document(config)["paths"]["/v1/chat/completions"]["post"]
    assert "401" not in chat["responses"]
    closed = config.model_copy(update={"access": AccessConfig(directory="/nowhere")})
    paths = document(closed)["paths"]
    assert paths["/v1/chat/completions"]["post"]["responses"].keys() >= {"401", "429"}
    assert paths["/v1/chat/completions"]["post"]["security"] == [{"bearer": []}]
    assert "security" not in paths["/health"]["get"]


def schemathesis(
    server: Live, directory: Path, *, examples: int, seconds: int
) -> subprocess.CompletedProcess[str]:
    """What a user of the document would run."""
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}/openapi.json"),
        "--wait-for-schema=10",
        *("--checks", ",".join(CHECKS), "--seed", str(SEED), "--max-examples", str(examples)),
        *("--max-time", str(seconds)),
        *("--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all", "--no-color"),
        *("--generation-database", "none", "--request-timeout", "20"),
    ]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, cwd=directory, env=environment
    )


def test_what_is_generated_from_the_document_finds_no_fault(server: Live, tmp_path: Path) -> None:
    """No 5xx, no undocumented status, type, header or shape, and nothing invalid is accepted."""
    result = schemathesis(server, tmp_path, examples=3, seconds=10)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nor_does_a_long_search(server: Live, tmp_path: Path) -> None:
    """The same with many more requests."""
    result = schemathesis(server, tmp_path, examples=300, seconds=300)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    statuses = {json.loads(line).get("status") for line in server.log.read_text().splitlines()}
    assert not {status for status in statuses if status is not None and status >= 500}
