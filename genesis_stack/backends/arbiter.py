"""The circus arbiter of one user: its life, and the requests it answers.

It runs detached in a session of its own and is told what to do over a unix socket in a directory that only
its user may enter. A killed arbiter leaves its servers behind; `start` ends those first, for their ports
would be taken.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from genesis_stack import durable, process
from genesis_stack.backends import procfs
from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout

START_SECONDS: Final = 20.0
"""How long a fresh arbiter may take until it answers."""
REPLY_SECONDS: Final = 10.0
"""How long an answer may take, on top of the time that the command itself needs."""
PROGRAM: Final = (
    "import sys; sys.modules['setproctitle'] = None; del sys.argv[1]; from circus.circusd import main; main()"
)
"""circusd under its own command line, by which it is known, also where setproctitle is installed."""
UNIX_PATH_MAX: Final = 107
"""Longest path of a unix socket, see unix(7)."""


class ArbiterError(GenesisError):
    """The arbiter does not answer, or refuses."""


class Arbiter:
    """The arbiter whose ini is `ini`, with its sockets and its logs where the layout has them."""

    def __init__(self, ini: Path, layout: Layout) -> None:
        self.ini = ini
        self.layout = layout

    @property
    def pid(self) -> int | None:
        """Its process id while it lives, whatever its pid file says of processes past."""
        try:
            pid = int(self.layout.arbiter_pid.read_text())
        except (OSError, ValueError):
            return None
        words = procfs.cmdline(pid)
        return pid if "circus.circusd" in words and str(self.ini) in words else None

    def start(self) -> None:
        """Start it, detached, and wait until it answers.

        Raises:
            ArbiterError: it ended or did not answer in time; the message shows the end of its log.
        """
        endpoint = self.layout.arbiter_events
        if len(os.fsencode(endpoint)) > UNIX_PATH_MAX:
            raise ArbiterError(
                f"{endpoint}: longer than the {UNIX_PATH_MAX} bytes a unix socket may have",
                hint="choose a state root with a shorter path",
            )
        durable.mkdir(self.layout.run, 0o700)
        self.layout.run.chmod(0o700)
        durable.mkdir(self.layout.logs, 0o700)
        self.end_orphans()
        durable.step("start arbiter")
        self.layout.arbiter_pid.unlink(
            missing_ok=True
        )  # of a dead one, whose id may be another process's by now
        output = self._output
        output.write_bytes(b"")
        argv: list[str | Path] = [sys.executable, "-c", PROGRAM, "circus.circusd", self.ini]
        child = process.detach(argv, log=output)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and child.poll() is None:
            with contextlib.suppress(ArbiterError):
                self.ask("list", timeout=1.0)
                child.returncode = 0  # it is init's child from now on: no warning when we end before it
                return
        if child.poll() is None:
            child.kill()
            child.wait()
        raise ArbiterError("the process manager did not start" + self._last_words())

    @property
    def _output(self) -> Path:
        return self.layout.logs / "circus.out"

    def _last_words(self) -> str:
        lines: list[str] = []
        for log in (self.layout.arbiter_log, self._output):
            with contextlib.suppress(OSError):
                lines += log.read_text(errors="replace").splitlines()[-10:]
        return "".join(f"\n  {line}" for line in lines)

    def end(self, timeout: float) -> None:
        """Stop servers and arbiter gracefully; kill what is left after `timeout` seconds."""
        pid = self.pid
        if pid is not None:
            durable.step("end arbiter")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            if not procfs.wait_gone(pid, timeout):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                procfs.wait_gone(pid, 5.0)
        self.end_orphans()

    def end_orphans(self) -> None:
        """End servers and plugins that a killed arbiter of ours left behind."""
        orphans = self.orphans()
        for signum, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            for pid in orphans:
                durable.step(f"kill {pid}")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signum)
            deadline = time.monotonic() + patience
            orphans = [pid for pid in orphans if not procfs.wait_gone(pid, deadline - time.monotonic())]

    def orphans(self) -> list[int]:
        """Servers and plugins that outlived their arbiter; none while it lives."""
        return [] if self.pid is not None else [pid for pid in procfs.pids() if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        words = procfs.cmdline(pid)
        configs, endpoint = f"{self.ini.parent}/models/", f"ipc://{self.layout.arbiter_socket}"
        gateway = f"{self.ini.parent}/gateway/"
        return any(
            (flag == "--config" and value.startswith(configs))
            or (flag == "-f" and value.startswith(gateway))
            or (flag == "--endpoint" and value == endpoint)
            for flag, value in itertools.pairwise(words)
        )

    def ask(self, command: str, *, timeout: float = REPLY_SECONDS, **properties: object) -> Mapping[str, Any]:
        """Send one command of circus's protocol and return the answer.

        Commands wait for each other: while another one runs, this one is sent again until `timeout`.

        Raises:
            ArbiterError: no answer within `timeout` seconds, or a refusal.
        """
        deadline = time.monotonic() + timeout
        while True:
            answer = self._exchange(command, properties, timeout)
            if answer.get("status") == "ok":
                return answer
            reason = str(answer.get("reason", answer))
            if "already running" not in reason or time.monotonic() > deadline:
                raise ArbiterError(f"the process manager refused {command!r}: {reason}")
            time.sleep(0.1)

    def _exchange(self, command: str, properties: Mapping[str, object], timeout: float) -> Mapping[str, Any]:
        """One message and its answer, as circus's own client does it, without the time it takes to import."""
        import zmq

        message = {"id": uuid.uuid4().hex, "command": command, "properties": properties}
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.connect(f"ipc://{self.layout.arbiter_socket}")
            socket.send_json(message)
            if not socket.poll(int(timeout * 1000)):
                raise ArbiterError(f"the process manager did not answer to {command!r} within {timeout:g} s")
            answer: Mapping[str, Any] = json.loads(socket.recv())
            return answer
