"""Files into which a server has written its spans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def spans_in(path: Path) -> list[dict[str, Any]]:
    """All spans of a file of OTLP's JSON lines."""
    requests = map(json.loads, path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()
    return [
        span
        for request in requests
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
