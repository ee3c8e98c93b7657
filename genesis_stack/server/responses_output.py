"""The output items of a response, growing piece by piece, with the event of each step."""

from __future__ import annotations

from genesis_stack.server.endpoint import new_id
from genesis_stack.server.pieces import CallArguments, CallStart, Piece, Reasoning, Text
from genesis_stack.server.shapes import Json


class ResponseOutput:
    """Feed it pieces: `items` is the output so far, and the events say how it came about."""

    def __init__(self) -> None:
        self.items: list[Json] = []
        self._text = ""

    def feed(self, piece: Piece) -> list[Json]:
        """The events of one piece."""
        match piece:
            case Text(text):
                return [*self._enter("message"), self._delta("response.output_text.delta", text, logprobs=[])]
            case Reasoning(text):
                return [*self._enter("reasoning"), self._delta("response.reasoning_text.delta", text)]
            case CallStart(_, name):
                return [*self.close(), *self._open(_call_item(name))]
            case CallArguments(_, text):
                return [self._delta("response.function_call_arguments.delta", text)]

    def close(self) -> list[Json]:
        """Complete the last item, if it is not yet."""
        if not self.items or self.items[-1]["status"] == "completed":
            return []
        item, text = self.items[-1], self._text
        item["status"] = "completed"
        match item["type"]:
            case "message":
                part = _text_part(text)
                item["content"] = [part]
                events = [
                    self._event("response.output_text.done", content_index=0, text=text, logprobs=[]),
                    self._event("response.content_part.done", content_index=0, part=part),
                ]
            case "reasoning":
                item["content"] = [{"type": "reasoning_text", "text": text}]
                events = [self._event("response.reasoning_text.done", content_index=0, text=text)]
            case _:
                item["arguments"] = text
                name = item["name"]
                events = [self._event("response.function_call_arguments.done", arguments=text, name=name)]
        return [*events, self._item_event("response.output_item.done")]

    def _enter(self, kind: str) -> list[Json]:
        """Begin an item of this kind, unless the last one is one and open."""
        if self.items and self.items[-1]["type"] == kind and self.items[-1]["status"] == "in_progress":
            return []
        if kind == "reasoning":
            return [*self.close(), *self._open(_reasoning_item())]
        opened = [*self.close(), *self._open(_message_item())]
        return [*opened, self._event("response.content_part.added", content_index=0, part=_text_part(""))]

    def _open(self, item: Json) -> list[Json]:
        self.items.append(item)
        self._text = ""
        return [self._item_event("response.output_item.added")]

    def _delta(self, kind: str, text: str, **more: object) -> Json:
        self._text += text
        if self.items[-1]["type"] != "function_call":
            more["content_index"] = 0
        return self._event(kind, delta=text, **more)

    def _event(self, kind: str, **fields: object) -> Json:
        return {
            "type": kind,
            "item_id": self.items[-1]["id"],
            "output_index": len(self.items) - 1,
            **fields,
        }

    def _item_event(self, kind: str) -> Json:
        return {"type": kind, "output_index": len(self.items) - 1, "item": dict(self.items[-1])}


def _message_item() -> Json:
    return {
        "id": new_id("msg_"),
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
    }


def _reasoning_item() -> Json:
    return {"id": new_id("rs_"), "type": "reasoning", "status": "in_progress", "summary": [], "content": []}


def _call_item(name: str) -> Json:
    return {
        "id": new_id("fc_"),
        "type": "function_call",
        "status": "in_progress",
        "call_id": new_id("call_"),
        "name": name,
        "arguments": "",
    }


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
