"""One line of a server's log, as text for a terminal: the server writes it there, and `logs` shows it so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

HEAD: Final = ("time", "level", "event")
"""What every entry has; `time` is ISO 8601 with an offset. Everything else is a field of its own."""

_LEVELS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}
_DIM: Final = "2"
_CYAN: Final = "36"


def text_of(entry: Mapping[str, Any], *, colours: bool) -> str:
    """The local time, level, event and `name=value` pairs; see ECMA-48 for the colours."""

    def coloured(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colours else text

    time = datetime.fromisoformat(entry["time"]).astimezone().strftime("%H:%M:%S")
    level = str(entry["level"])
    head = (coloured(time, _DIM), coloured(f"{level:7}", _LEVELS.get(level, "0")), _plain(entry["event"]))
    fields = (f"{coloured(name, _CYAN)}={_plain(value)}" for name, value in entry.items() if name not in HEAD)
    return " ".join((*head, *fields))


def _plain(value: object) -> str:
    """Without quotes where nothing needs them; control characters never reach the terminal."""
    text = str(value)
    return text if text.isprintable() else repr(text)
