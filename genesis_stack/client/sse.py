"""Reads server-sent events (WHATWG HTML, 9.2) out of bytes as they arrive."""

from __future__ import annotations

from typing import Final

DONE: Final = b"[DONE]"
LONGEST_EVENT: Final = 8 * 1024 * 1024
"""Bytes of one event: a server that never ends one must not fill the memory."""


class EventTooLongError(ValueError):
    """An event that does not end within LONGEST_EVENT bytes."""


class EventReader:
    """Cuts a byte stream into the data of its events; names, ids and comments are of no use here."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[bytes]:
        """The data of every event that is complete now.

        Raises:
            EventTooLongError: an event is longer than anybody means it to be.
        """
        text = self._rest + received
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        *events, self._rest = text.split(b"\n\n")
        if len(self._rest) > LONGEST_EVENT:
            raise EventTooLongError
        return [data for event in events if (data := _data(event))]


def _data(event: bytes) -> bytes:
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
