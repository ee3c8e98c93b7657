"""Conversations: messages with text and images, written as OpenAI's API wants them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from genesis_stack.client.errors import ConfigurationError
from genesis_stack.client.images import Images, ImageSource
from genesis_stack.client.results import Completion, ToolCall

Role = Literal["system", "developer", "user", "assistant", "tool"]

PREFIX_CHARACTERS: Final = 1024
"""Of a conversation's beginning that decide which replica has it in its cache."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `images` go before the text, as vision models are trained."""

    role: Role
    text: str = field(repr=False)
    images: tuple[ImageSource, ...] = field(default=(), repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @classmethod
    def system(cls, text: str) -> Message:
        """Instructions for the whole conversation."""
        return cls("system", text)

    @classmethod
    def user(cls, text: str, *images: ImageSource) -> Message:
        """A question, with the images it is about."""
        return cls("user", text, images)

    @classmethod
    def assistant(cls, text: str) -> Message:
        """An earlier answer."""
        return cls("assistant", text)

    @classmethod
    def answered(cls, completion: Completion) -> Message:
        """An answer that was just received, with its tool calls, to go on from."""
        return cls("assistant", completion.text, tool_calls=completion.tool_calls)

    @classmethod
    def tool_result(cls, call: ToolCall, text: str) -> Message:
        """What a tool returned."""
        return cls("tool", text, tool_call_id=call.id)


Messages = str | Sequence[Message | Mapping[str, Any]]
"""A question, or a conversation of messages, also in OpenAI's own shape."""


def listed(messages: Messages) -> list[Message | Mapping[str, Any]]:
    """The conversation as a list; a text is a user's question.

    Raises:
        ConfigurationError: it is empty.
    """
    if isinstance(messages, str):
        return [Message.user(messages)]
    if not messages:
        raise ConfigurationError("a conversation needs a message", remedy="give a text or Message.user(...)")
    return list(messages)


def has_images(messages: Iterable[Message | Mapping[str, Any]]) -> bool:
    """Whether somebody has to see something."""
    return any(
        bool(message.images) if isinstance(message, Message) else _shows(message.get("content"))
        for message in messages
    )


async def written(
    messages: Iterable[Message | Mapping[str, Any]], images: Images, deadline: float
) -> list[Mapping[str, Any]]:
    """The messages as JSON objects, with every image inside; raises ImageError."""
    return [
        await _object(message, images, deadline) if isinstance(message, Message) else message
        for message in messages
    ]


def prefix_of(messages: Sequence[Mapping[str, Any]]) -> bytes:
    """What stands for the beginning of a conversation: equal for those that share their first pages."""
    digest = hashlib.blake2b(digest_size=16)
    left = PREFIX_CHARACTERS
    for message in messages:
        opening = f"{message.get('role')}\0{_opening(message.get('content'), left)}"
        digest.update(opening.encode("utf-8", "surrogatepass"))
        left -= len(opening)
        if left <= 0:
            break
    return digest.digest()


def _shows(content: object) -> bool:
    """Whether a content in OpenAI's shape has an image among its parts."""
    return isinstance(content, list | tuple) and any(
        isinstance(part, Mapping) and part.get("type") == "image_url" for part in content
    )


def _opening(content: object, most: int) -> str:
    """How a content begins; an image, which is long and begins like all of its kind, by how it ends."""
    if isinstance(content, str):
        return content[:most]
    if not isinstance(content, list | tuple):
        return ""
    parts = [part for part in content if isinstance(part, Mapping)]
    return "\0".join(str(part.get("text") or _uri(part)[-64:])[:most] for part in parts)


def _uri(part: Mapping[str, Any]) -> str:
    image = part.get("image_url")
    return str(image.get("url")) if isinstance(image, Mapping) else ""


async def _object(message: Message, images: Images, deadline: float) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.images:
        uris = [await images.data_uri(image, deadline) for image in message.images]
        parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
        body["content"] = [*parts, {"type": "text", "text": message.text}]
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    return body
