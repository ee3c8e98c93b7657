"""The samples of one `/metrics`, those of one name added up over their labels.

The text is Prometheus's exposition format 0.0.4, which has no time stamps where we read it.
"""

from __future__ import annotations

import http.client
from typing import Final

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of an answer; Prometheus itself says less than a tenth of it."""


def ask(connection: http.client.HTTPConnection) -> dict[str, float] | None:
    """The samples by name; None without an answer. The connection is closed in the end; never raises."""
    try:
        connection.request("GET", "/metrics", headers={"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read(MOST_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return totals(text) if answer.status == http.client.OK else None


def totals(text: str) -> dict[str, float]:
    """The samples of a text by name; a line that is none is passed over."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        sample, _, value = line.rpartition(" ")
        name = sample.partition("{")[0].strip()
        if name and not line.startswith("#"):
            try:
                found[name] = found.get(name, 0.0) + float(value)
            except ValueError:
                continue
    return found
