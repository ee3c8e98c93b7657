"""`python -m benchmarks.slow_connections.attacker PORT COUNT`: holds slow connections until it is ended.

A process of its own, so that it takes no time from the honest clients but what the machine has to share.
It prints how many connections the server has ended when its standard input closes.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import sys
import time
from dataclasses import dataclass, field

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
HALVES = (b"", HEAD + b"x: ", HEAD + b"content-length: 500\r\n\r\n{")
DRIP_S = 1.0
"""Between two bytes of those that send half a head."""


@dataclass
class Attack:
    """The open connections by descriptor, and those that send a byte now and then."""

    port: int
    ended: int = 0
    open: dict[int, socket.socket] = field(default_factory=dict)
    dripping: set[int] = field(default_factory=set)
    poll: select.poll = field(default_factory=select.poll)

    def connect(self, half: bytes) -> None:
        """Open one more."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(half)
        number = connection.fileno()
        self.open[number] = connection
        self.poll.register(number, select.POLLIN)
        if half.endswith(b": "):
            self.dripping.add(number)

    def end(self, number: int) -> None:
        """The server has had enough of this one."""
        self.poll.unregister(number)
        self.dripping.discard(number)
        self.open.pop(number).close()
        self.ended += 1

    def drip(self) -> None:
        """A byte on each connection that is in the middle of its head."""
        for number in self.dripping:
            with contextlib.suppress(OSError):
                self.open[number].send(b"y")


def main() -> None:
    """Hold COUNT connections to PORT."""
    attack, count = Attack(int(sys.argv[1])), int(sys.argv[2])
    halves = itertools.cycle(HALVES)
    attack.poll.register(sys.stdin, select.POLLIN)
    dripped = time.monotonic()
    while True:
        while len(attack.open) < count:
            attack.connect(next(halves))
        for number, _ in attack.poll.poll(DRIP_S * 1000):
            if number == sys.stdin.fileno():
                print(attack.ended)
                return
            attack.end(number)
        if time.monotonic() - dripped > DRIP_S:
            attack.drip()
            dripped = time.monotonic()


if __name__ == "__main__":
    main()
