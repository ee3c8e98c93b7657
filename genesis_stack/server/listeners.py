"""The listening sockets: inherited from systemd or a process manager, or opened here."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

FIRST_FD: Final = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""

BACKLOG: Final = 65_535
"""Beyond net.core.somaxconn, to which the kernel cuts it: an inherited backlog is never made shorter."""


class ListenError(Exception):
    """The socket cannot be had; the message says why."""


def inherited(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that the service manager passed, per sd_listen_fds(3); none if it passed none.

    The variables are taken out, so that no child believes they are its own.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [from_fd(fd) for fd in range(FIRST_FD, FIRST_FD + int(count))]


def from_fd(fd: int) -> socket.socket:
    """The listening socket with this descriptor; raises ListenError if it is none."""
    try:
        listener = socket.socket(fileno=fd)
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as exc:
        raise ListenError(f"descriptor {fd} is no socket: {exc.strerror}") from None
    if not listening:
        raise ListenError(f"descriptor {fd} is a socket that does not listen")
    listener.set_inheritable(False)
    return listener


def opened(host: str, port: int) -> socket.socket:
    """A new TCP listener; raises ListenError if the address is taken or not ours."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise ListenError(f"cannot listen on {host}:{port}: {exc.strerror}") from None
    # asyncio sets it only on sockets whose protocol is spelled out, which these are not
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
