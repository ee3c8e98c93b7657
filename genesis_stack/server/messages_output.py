"""The content blocks of a message, growing piece by piece, with the event of each step."""

from __future__ import annotations

import json
from typing import Any

from genesis_stack.server.endpoint import new_id
from genesis_stack.server.pieces import CallArguments, CallStart, Piece, Reasoning, Text
from genesis_stack.server.shapes import Json


class MessageContent:
    """Feed it pieces: `blocks` is the content so far, and the events say how it came about."""

    def __init__(self) -> None:
        self.blocks: list[Json] = []
        self._open = False
        self._arguments = ""

    def feed(self, piece: Piece) -> list[Json]:
        """The events of one piece."""
        match piece:
            case Text(text):
                events = self._enter({"type": "text", "text": ""})
                self.blocks[-1]["text"] += text
                return [*events, self._delta(type="text_delta", text=text)]
            case Reasoning(text):
                events = self._enter({"type": "thinking", "thinking": "", "signature": ""})
                self.blocks[-1]["thinking"] += text
                return [*events, self._delta(type="thinking_delta", thinking=text)]
            case CallStart(_, name):
                block = {"type": "tool_use", "id": new_id("toolu_"), "name": name, "input": {}}
                return [*self.close(), *self._begin(block)]
            case CallArguments(_, text):
                self._arguments += text
                return [self._delta(type="input_json_delta", partial_json=text)]

    def close(self) -> list[Json]:
        """Complete the last block, if it is not yet."""
        if not self._open:
            return []
        self._open = False
        if self.blocks[-1]["type"] == "tool_use":
            self.blocks[-1]["input"] = _parsed(self._arguments)
        return [{"type": "content_block_stop", "index": len(self.blocks) - 1}]

    def _enter(self, block: Json) -> list[Json]:
        """Begin a block of this kind, unless the last one is one and open."""
        if self._open and self.blocks[-1]["type"] == block["type"]:
            return []
        return [*self.close(), *self._begin(block)]

    def _begin(self, block: Json) -> list[Json]:
        self.blocks.append(block)
        self._open, self._arguments = True, ""
        index = len(self.blocks) - 1
        return [{"type": "content_block_start", "index": index, "content_block": dict(block)}]

    def _delta(self, **delta: str) -> Json:
        return {"type": "content_block_delta", "index": len(self.blocks) - 1, "delta": delta}


def _parsed(arguments: str) -> Any:
    """An object, as the shape wants it; arguments that were cut short are kept as their text."""
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        return {"_partial": arguments}
    return value if isinstance(value, dict) else {"_value": value}
