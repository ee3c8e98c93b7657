from __future__ import annotations

import os
import socket

from ports import free_port

from genesis_stack.backends import ports


def test_a_stranger_on_another_address_of_our_port_is_seen() -> None:
    """Whoever connects by another name of this machine must not end up with somebody else."""
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)) as ours,
        socket.create_server(("127.0.0.2", port)) as other,
    ):
        known = ports.listening({port})
        assert {inode for inode, _ in known[port]} == {inode(ours), inode(other)}
        assert ports.strangers({port}, [os.getpid()]) == {}
        holder = ports.strangers({port}, [])[port]
        assert (holder.port, holder.pid) == (port, os.getpid())


def inode(listener: socket.socket) -> str:
    """As /proc/net/tcp names it."""
    return str(os.fstat(listener.fileno()).st_ino)
