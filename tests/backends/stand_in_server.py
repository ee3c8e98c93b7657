"""A server without an engine: reads its config, echoes its digests, and misbehaves on demand.

The config's `description` is a list of words: `never-ready`, `crash`, `fail`, `load=SECONDS`, `hog=MIB`.
It uses nothing but the standard library, so that it starts fast.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

raw = Path(sys.argv[sys.argv.index("--config") + 1]).read_bytes()
config = json.loads(raw)
options = dict(word.partition("=")[::2] for word in config["description"].split())
started = time.monotonic()
hog = bytearray()


def status() -> str:
    """What /health says."""
    if "fail" in options:
        return "failed"
    loading = time.monotonic() - started < float(options.get("load") or 0)
    return "starting" if loading or "never-ready" in options else "ready"


class Handler(BaseHTTPRequestHandler):
    """Answers every path with the health document."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The health document, plus the process id and the config's description."""
        time.sleep(float(options.get("answer") or 0))
        body = json.dumps(
            {
                "status": status(),
                "reason": "it was told to" if "fail" in options else "",
                "model_digest": config["weights"]["sha256"],
                "config_digest": hashlib.sha256(raw).hexdigest(),
                "pid": os.getpid(),
                "description": config["description"],
            }
        ).encode()
        self.send_response(200 if status() == "ready" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Finishes what it has accepted before it ends."""

    daemon_threads = False


def listener() -> socket.socket:
    """The inherited socket: `--fd`, or systemd's first."""
    number = int(sys.argv[sys.argv.index("--fd") + 1]) if "--fd" in sys.argv else 3
    inherited = socket.socket(fileno=os.dup(number))
    inherited.settimeout(None)
    return inherited


def main() -> None:
    """Serve until SIGTERM."""
    global hog  # noqa: PLW0603 -- it must stay referenced
    sys.stdout.write(f"{config['model']} starts\n")
    sys.stdout.flush()
    if "crash" in options:
        sys.exit("the stand-in crashes, as it was told")
    hog = bytearray(os.urandom(1)) * (int(options.get("hog") or 0) * 2**20)
    server = Server(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.02)
    server.server_close()


main()
