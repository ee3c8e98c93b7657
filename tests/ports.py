"""Ports for tests that start servers of their own."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Final

FIRST: Final = 18_000
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, given only once.

    It stays free until it is used: the kernel gives none of these to a connection that goes out (ip(7),
    ip_local_port_range).
    """
    last = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = FIRST + secrets.randbelow(last - FIRST)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
