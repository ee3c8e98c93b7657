"""Who listens where, from /proc (proc(5)); no root is needed to see ports, only to name their processes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from genesis_stack.backends.interface import Listener

LISTEN: Final = "0A"
"""TCP_LISTEN in the state column of /proc/net/tcp."""


def listening(ports: Collection[int]) -> Mapping[int, Sequence[tuple[str, int]]]:
    """The (socket inode, user id) of every socket that listens on one of the ports, on any address."""
    found: dict[int, list[tuple[str, int]]] = {}
    for table in ("tcp", "tcp6"):
        for port, inode, uid in _rows(Path("/proc/net") / table):
            if port in ports:
                found.setdefault(port, []).append((inode, uid))
    return found


def _rows(table: Path) -> Iterator[tuple[int, str, int]]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if fields[3] == LISTEN:
            yield int(fields[1].rpartition(":")[2], 16), fields[9], int(fields[7])


def inodes_of(pid: int) -> frozenset[str]:
    """Inodes of the sockets that a process has open; empty when it is gone or not ours to look into."""
    return frozenset(_socket_inodes(Path("/proc") / str(pid)))


def _socket_inodes(process: Path) -> Iterator[str]:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return
    for descriptor in descriptors:
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def strangers(ports: Collection[int], ours: Iterable[int]) -> Mapping[int, Listener]:
    """The processes on these ports that are none of `ours` (process ids)."""
    sockets = listening(ports)
    if not sockets:
        return {}
    own = frozenset().union(*(inodes_of(pid) for pid in ours))
    wanted = {inode: (port, uid) for port, held in sockets.items() for inode, uid in held if inode not in own}
    return _holders(wanted) if wanted else {}


def _holders(wanted: Mapping[str, tuple[int, int]]) -> dict[int, Listener]:
    found = {port: Listener(port, None, None, uid) for port, uid in wanted.values()}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        for inode in _socket_inodes(process):
            if inode in wanted:
                port, uid = wanted[inode]
                found[port] = Listener(port, int(process.name), _program(process), uid)
    return found


def _program(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        return b" ".join(words[:3]).decode(errors="replace").strip() or (process / "comm").read_text().strip()
    except OSError:
        return "unknown"
