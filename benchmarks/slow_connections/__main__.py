"""`python -m benchmarks.slow_connections --gguf FILE`: measure, print the ratio, exit 1 if it is broken."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.peers import Setup, ours
from benchmarks.serving.running import Server, machine_cpu_seconds, serving
from benchmarks.slow_connections import __doc__ as about

LEAST_RATIO = 0.95
WARM_UP_S = 3.0
TOKENS = 64


@dataclass
class Honest:
    """A client that streams one answer after the other; `tokens` counts what it got."""

    port: int
    tokens: int = 0
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until told to stop."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.stop.is_set():
            try:
                self._stream(connection)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()

    def _stream(self, connection: http.client.HTTPConnection) -> None:
        body = {
            "model": "benchmark",
            "messages": [{"role": "user", "content": "Tell me a story."}],
            "stream": True,
            "max_tokens": TOKENS,
            "ignore_eos": True,
        }
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"}
        )
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise ValueError(f"{response.status}: {response.read()[:200]!r}")
        ended = False
        for line in response:
            self.tokens += b'"content":"' in line
            ended = ended or line.startswith(b"data: [DONE]")
        if not ended:
            raise ValueError("a stream without an end")


@contextmanager
def streaming(server: Server, clients: int) -> Iterator[list[Honest]]:
    """Honest clients that stream meanwhile."""
    honest = [Honest(server.port) for _ in range(clients)]
    threads = [threading.Thread(target=client.run) for client in honest]
    for thread in threads:
        thread.start()
    try:
        yield honest
    finally:
        for client in honest:
            client.stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def attacked(server: Server, connections: int) -> Iterator[None]:
    """Slow connections meanwhile; tells how many were ended."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.slow_connections.attacker",
        str(server.port),
        str(connections),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield
        ended, _ = process.communicate()
        print(f"  {int(ended)} slow connections were ended by the server", file=sys.stderr)


def rate(honest: list[Honest], seconds: float, server: Server) -> float:
    """Tokens a second of all clients together; says how busy others kept the machine."""
    started, before = time.monotonic(), sum(client.tokens for client in honest)
    used, machine = server.cpu_seconds(), machine_cpu_seconds()
    time.sleep(seconds)
    elapsed = time.monotonic() - started
    tokens, used = sum(client.tokens for client in honest) - before, server.cpu_seconds() - used
    others = (machine_cpu_seconds() - machine - used) / elapsed / (os.cpu_count() or 1)
    print(
        f"  {tokens / elapsed:6.1f} tokens/s; {used / tokens * 1e3:.2f} ms CPU a token; "
        f"CPU of all others {others:.0%}",
        file=sys.stderr,
    )
    return tokens / elapsed


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_connections", description=about)
    parser.add_argument("--gguf", type=Path, required=True, help="the model to serve")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of the attack; a quarter of it before and after"
    )
    parser.add_argument("--connections", type=int, default=200, help="slow ones")
    parser.add_argument("--clients", type=int, default=4, help="honest ones")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    setup = Setup(options.gguf, os.cpu_count() or 1, 1024, options.clients)
    with tempfile.TemporaryDirectory() as scratch, serving(ours({}), setup, Path(scratch)) as server:
        with streaming(server, options.clients) as honest:
            time.sleep(WARM_UP_S)
            alone = rate(honest, options.seconds / 4, server)
            with attacked(server, options.connections):
                time.sleep(WARM_UP_S)
                beside = rate(honest, options.seconds, server)
            time.sleep(WARM_UP_S)
            alone = (alone + rate(honest, options.seconds / 4, server)) / 2
        failures = [failure for client in honest for failure in client.failures]
    figures = {
        "tokens_per_second_alone": alone,
        "beside": beside,
        "ratio": beside / alone,
        "failed": len(failures),
    }
    if options.json:
        print(json.dumps(figures))
    else:
        print(f"alone {alone:.1f} tokens/s, beside {options.connections} slow connections {beside:.1f}: ")
        print(
            f"ratio {beside / alone:.3f} (promised: at least {LEAST_RATIO}), failed requests {len(failures)}"
        )
    for failure in failures[:5]:
        print(failure, file=sys.stderr)
    return 0 if beside / alone >= LEAST_RATIO and not failures else 1


if __name__ == "__main__":
    sys.exit(main())
