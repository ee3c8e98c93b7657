"""The sockets that a server opens itself behave like those that systemd hands it."""

from __future__ import annotations

import socket

from genesis_stack.server.listeners import opened


def test_small_answers_do_not_wait_for_an_acknowledgement() -> None:
    """Nagle's algorithm and delayed acknowledgements together would hold each of them back for 40 ms."""
    with opened("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
