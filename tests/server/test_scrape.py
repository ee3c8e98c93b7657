"""Prometheus itself reads the metrics: every documented name as it is written, exemplars included."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from documented_metrics import documented
from live import CHAT, live
from waiting import until

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's prometheus"),
]

SUFFIXES = ("_bucket", "_count", "_sum")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that has answered a traced request."""
    directory = tmp_path_factory.mktemp("server")
    tracing = {
        "exporter": "file",
        "endpoint": None,
        "headers_secret": None,
        "file": str(directory / "traces.jsonl"),
        "sample": 1.0,
        "content": False,
    }
    with live(directory, sections={"tracing": tracing}) as running:
        assert httpx.post(f"{running.url}/v1/chat/completions", json=CHAT, timeout=20).status_code == 200
        yield running.url


@pytest.fixture(scope="module")
def prometheus(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a Prometheus that scrapes the server."""
    directory = tmp_path_factory.mktemp("prometheus")
    target = server.removeprefix("http://")
    (directory / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: genesis, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [
        "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    api = f"http://127.0.0.1:{port}/api/v1"
    try:
        until(
            lambda: _answers(api) and _data(api, "query", query="up{job='genesis'} == 1")["result"],
            "a scrape",
        )
        yield api
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(api: str) -> bool:
    try:
        return httpx.get(f"{api}/status/buildinfo").status_code == 200
    except httpx.TransportError:
        return False


def _data(api: str, path: str, **parameters: str) -> Any:
    return httpx.get(f"{api}/{path}", params=parameters).json()["data"]


def test_prometheus_stores_every_documented_name(prometheus: str) -> None:
    """With the colons that dashboards made for llama-server look for."""
    stored = set(_data(prometheus, "label/__name__/values"))
    histograms = {name for name, (kind, _) in documented().items() if kind == "histogram"}
    expected = {name for name in documented() if name not in histograms}
    expected |= {f"{name}{suffix}" for name in histograms for suffix in SUFFIXES}
    assert expected - stored <= {"genesis_memory_cgroup_bytes"}
    ours = {name for name in stored if name.startswith(("genesis_", "llamacpp"))}
    assert ours <= expected


def test_prometheus_keeps_the_trace_of_a_slow_request(prometheus: str) -> None:
    """From a bucket of the latency to the request that fell into it."""
    query = "llamacpp:request_latency_seconds_bucket"
    found = _data(prometheus, "query_exemplars", query=query, start="0", end="4000000000")
    labels = [exemplar["labels"] for series in found for exemplar in series["exemplars"]]
    assert labels
    assert all(len(label["trace_id"]) == 32 for label in labels)


def test_promtool_finds_fault_with_nothing_but_llama_server_s_names(server: str) -> None:
    """Units, suffixes, help texts and types are as its linter wants them."""
    text = httpx.get(f"{server}/metrics").text
    lint = subprocess.run(
        [shutil.which("promtool") or "", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in lint.stderr.splitlines() if "should not contain ':'" not in line]
    assert complaints == []
