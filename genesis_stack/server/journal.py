"""Entries of systemd's journal with fields of their own, in its native protocol.

See https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ and systemd.journal-fields(7). What a client sent may stand
in a value: values with line breaks are sent with their length, so none can pass for a field.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

SOCKET: Final = Path("/run/systemd/journal/socket")


def is_journal(stream: TextIO) -> bool:
    """Whether systemd connected this stream to the journal.

    $JOURNAL_STREAM names the device and inode of what it opened; see systemd.exec(5).
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class Journal:
    """The journal's socket; raises OSError when an entry is not taken, as one that is too large."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)  # noqa: FBT003 -- its only argument
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def send(self, fields: Mapping[str, str]) -> None:
        """Write one entry; names are upper-case letters, digits and underscores."""
        self._socket.send(b"".join(_field(name, value) for name, value in fields.items()))

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", errors="replace")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
