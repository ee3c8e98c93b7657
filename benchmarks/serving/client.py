"""The load client: one thread, one epoll, no parsing while it measures.

It runs as a process of its own, because it shares the cores with the server it measures: it only stamps
each piece of an answer as it arrives and puts it away. HTTP, SSE and JSON are read afterwards, by
`transcript`. A workload comes in on standard input, a result goes out on standard output.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field

from benchmarks.serving.transcript import Answer, read_answer
from benchmarks.serving.workload import Shot, Workload

_STREAMING_SEGMENTS = 8  # so many pieces of its answer, and a request counts as streaming
_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 s: see socket(7)


@dataclass(slots=True)
class Exchange:
    """One request on its connection. Times are seconds of `time.perf_counter`."""

    shot: Shot
    sock: socket.socket
    unsent: bytes
    started: float
    leave_at: float
    leaves: bool = False
    sending: bool = True
    segments: list[tuple[float, bytes]] = field(default_factory=list)
    end: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished request: how it ended ("done", "left", "hung", "lost"), when, and what came back."""

    lane: int
    end: str
    started: float
    ended: float
    answer: Answer


class LoadRun:
    """Sends a workload and collects the exchanges."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._selector = selectors.DefaultSelector()
        self._lanes: dict[int, deque[Shot]] = {}
        for shot in workload.shots:
            self._lanes.setdefault(shot.lane, deque()).append(shot)
        self._open: dict[int, Exchange] = {}
        self._streaming = 0
        self.finished: list[tuple[Exchange, float]] = []

    def run(self) -> None:
        """Send everything; ends when each request is answered, has left, or is given up."""
        idle = set(self._lanes)
        while self._open or idle:
            for lane in sorted(idle):
                if self._may_start(lane):
                    idle.discard(lane)
                    self._start(self._lanes[lane].popleft())
            now = time.perf_counter()
            soonest = min((exchange.leave_at for exchange in self._open.values()), default=now)
            for key, _ in self._selector.select(max(0.0, soonest - now)):
                self._progress(self._open[key.fd])
            self._leave_overdue()
            for descriptor, exchange in list(self._open.items()):
                if exchange.end:
                    self._close(descriptor, exchange)
                    if self._lanes[exchange.shot.lane]:
                        idle.add(exchange.shot.lane)

    def _may_start(self, lane: int) -> bool:
        # With nobody left to wait for, waiting would never end.
        return self._streaming >= self._lanes[lane][0].after_streams or not self._open

    def _start(self, shot: Shot) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)  # noqa: FBT003 -- the standard library's signature
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = _request(shot.body, self._workload.port)
        started = time.perf_counter()
        leave_at = started + self._workload.deadline
        if shot.hang_up is not None:
            request = request[: int(len(request) * shot.hang_up.send_fraction)]
            if shot.hang_up.seconds is not None:
                leave_at = started + shot.hang_up.seconds
        exchange = Exchange(shot, sock, request, started, leave_at)
        exchange.leaves = shot.hang_up is not None and shot.hang_up.seconds is not None
        sock.connect_ex(("127.0.0.1", self._workload.port))
        self._open[sock.fileno()] = exchange
        self._selector.register(sock, selectors.EVENT_WRITE)

    def _progress(self, exchange: Exchange) -> None:
        try:
            if exchange.sending:
                self._send(exchange)
            else:
                self._receive(exchange)
        except OSError:
            exchange.end = "lost"

    def _send(self, exchange: Exchange) -> None:
        sent = exchange.sock.send(exchange.unsent)
        exchange.unsent = exchange.unsent[sent:]
        if not exchange.unsent:
            exchange.sending = False
            self._selector.modify(exchange.sock, selectors.EVENT_READ)

    def _receive(self, exchange: Exchange) -> None:
        segment = exchange.sock.recv(262144)
        now = time.perf_counter()
        if not segment:
            exchange.end = "done" if exchange.segments else "lost"
            return
        exchange.segments.append((now, segment))
        if b"data: [DONE]" in segment:
            exchange.end = "done"
        elif len(exchange.segments) == _STREAMING_SEGMENTS:
            self._streaming += 1
        hang_up = exchange.shot.hang_up
        if hang_up is not None and hang_up.seconds is None and len(exchange.segments) >= hang_up.segments:
            exchange.end = exchange.end or "left"

    def _leave_overdue(self) -> None:
        now = time.perf_counter()
        for exchange in self._open.values():
            if not exchange.end and exchange.leave_at <= now:
                exchange.end = "left" if exchange.leaves else "hung"

    def _close(self, descriptor: int, exchange: Exchange) -> None:
        if exchange.shot.hang_up is not None and exchange.shot.hang_up.reset:
            exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self._selector.unregister(exchange.sock)
        exchange.sock.close()
        del self._open[descriptor]
        if len(exchange.segments) >= _STREAMING_SEGMENTS:
            self._streaming -= 1
        self.finished.append((exchange, time.perf_counter()))


def _request(body: str, port: int) -> bytes:
    payload = body.encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Content-Type: application/json\r\nAccept: text/event-stream\r\nConnection: close\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


def _outcome(exchange: Exchange, ended: float) -> Outcome:
    answer = read_answer(exchange.segments)
    hang_up = exchange.shot.hang_up
    if hang_up is not None and hang_up.send_fraction < 1:
        end = "left"  # whatever a server says to half a request is right
    elif exchange.end == "done" and not answer.complete:
        end = "lost"
    else:
        end = exchange.end
    return Outcome(exchange.shot.lane, end, exchange.started, ended, answer)


def main() -> None:
    """Run the workload on standard input; print outcomes and the CPU time spent as JSON."""
    workload = Workload.from_json(sys.stdin.read())
    run = LoadRun(workload)
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    run.run()
    after, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    outcomes = [asdict(_outcome(exchange, at)) for exchange, at in run.finished]
    json.dump({"wall": ended - begun, "cpu": cpu, "outcomes": outcomes}, sys.stdout)


if __name__ == "__main__":
    main()
