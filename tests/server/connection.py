"""A connection at ASGI's level."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from serving import MODEL, Served


class Connection:
    """One streamed chat: the test decides when the client leaves or reads."""

    def __init__(self, served: Served, **fields: Any) -> None:
        self.sent: list[Any] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._left = asyncio.Event()
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True, **fields}
        self._body: bytes | None = json.dumps(body).encode()
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": ("192.0.2.1", 1),
        }
        self.task = asyncio.create_task(served.app(scope, self._receive, self._send))

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        await self.reads.wait()

    @property
    def status(self) -> int:
        """What the answer's head said."""
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        """What was sent of the body."""
        return b"".join(message.get("body", b"") for message in self.sent)
