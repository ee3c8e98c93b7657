"""A machine with a real model that a real Prometheus and Alertmanager watch, and somebody who is told."""

from __future__ import annotations

import json
import os
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ports import free_port
from program import embedded
from small_model import DIGEST
from waiting import until

from genesis_stack.layout import Layout
from genesis_stack.process import Completed
from genesis_stack.render.monitoring import monitoring_files
from genesis_stack.spec.load import loads


@dataclass
class Told:
    """What the receiver heard: (alert, status), in order."""

    heard: list[tuple[str, str]] = field(default_factory=list)

    def add(self, message: dict[str, Any]) -> None:
        """Take one message of Alertmanager."""
        self.heard += [(one["labels"]["alertname"], one["status"]) for one in message["alerts"]]

    def names(self) -> set[str]:
        """Every alert that was ever told as firing."""
        return {name for name, status in self.heard if status == "firing"}


@contextmanager
def receiver() -> Iterator[tuple[str, Told]]:
    """A webhook receiver; its URL and what it hears."""
    told = Told()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.add(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", told
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Watched:
    """The machine. `told` is what arrived at its receiver."""

    root: Path
    weights: Path
    hook: str
    told: Told
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(4)])
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16))

    def cli(self, *words: str) -> Completed:
        """Run `genesis-stack`."""
        return embedded(self.root, *words, timeout=600)

    def apply(self, *, alerts: str = "", extra: str = "", monitoring: str | None = None) -> Completed:
        """Apply the one-model stack, with what the test says about monitoring and alerts."""
        path = self.root / "stack.yaml"
        path.write_text(
            f"""
api_version: genesis.stack/v1
name: watched
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 200ms, deadline: 5m}}}}
models:
  smol:
    port: {self.ports[0]}
    weights: {{source: "file://{self.weights}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: 1, queue_requests: 4, prefix_cache_ram: 128MiB}}
    budget: {{memory: 1GiB, cpus: 2}}
    slo: {{ttft_p95: 10s, latency_p95: 30s, error_rate: 1%}}
monitoring:
{self.managed if monitoring is None else monitoring}
alerts:
  ServerDown: {{for: 3s}}
{alerts}
{extra}
"""
        )
        return self.cli("apply", str(path))

    @property
    def managed(self) -> str:
        """Both programs, quick and quickly told."""
        _, prometheus, alertmanager, exporter = self.ports
        return f"""
  prometheus: {{port: {prometheus}, exporter_port: {exporter}, scrape_interval: 1s}}
  alertmanager:
    port: {alertmanager}
    group_wait: 0s
    group_interval: 1s
    receivers: {{oncall: {{webhook: {{url: "{self.hook}"}}}}}}
"""

    def rules_at(self, scrape_interval: str) -> str:
        """The rules that this stack has at a longer interval and without tuning."""
        text = (self.root / "stack.yaml").read_text().partition("\nalerts:")[0]
        stack = loads(text.replace("scrape_interval: 1s", f"scrape_interval: {scrape_interval}"))
        files = monitoring_files(stack, Layout.under(self.root), "", str)
        return next(file.content for file in files if file.path.name == "genesis.rules.yml")

    def expect(self, alert: str, status: str, deadline: float = 300.0) -> None:
        """Wait until the receiver has heard that this alert is firing, or resolved, and nothing newer."""

        def heard() -> bool:
            return [how for name, how in self.told.heard if name == alert][-1:] == [status]

        until(
            heard,
            lambda: f"{alert} {status}; heard {self.told.heard}; active {self.active()}",
            seconds=deadline,
        )

    def pid(self) -> int:
        """The server's process."""
        found: int = json.loads(self.cli("status", "--json").stdout)["models"][0]["pid"]
        return found

    def signal(self, number: int) -> None:
        """Send the server a signal."""
        os.kill(self.pid(), number)

    def query(self, path: str, **parameters: object) -> Any:
        """Ask Prometheus's HTTP API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.ports[1]}/api/v1/{path}?{query}", timeout=60
        ) as answer:
            return json.load(answer)["data"]

    def active(self) -> list[tuple[str, str]]:
        """What Prometheus thinks is pending or firing."""
        return [(one["labels"]["alertname"], one["state"]) for one in self.query("alerts")["alerts"]]

    def chat(self, tokens: int = 8, key: str = "", prompt: str = "Count to ten.") -> int:
        """One request; its status."""
        body = {
            "model": "smol",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "ignore_eos": True,
            "temperature": 0,  # the same again and again is kept once: memory grows by other prompts alone
        }
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        url = f"http://127.0.0.1:{self.ports[0]}/v1/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def chat_until(self, stop: threading.Event) -> list[int]:
        """One long request after the other; their statuses."""
        found = []
        while not stop.is_set():
            found.append(self.chat(tokens=150))
        return found
