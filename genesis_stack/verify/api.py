"""What a server is asked on its port, from the host itself, and what it answered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any, Final

from genesis_stack.backends.probe import ANY_ADDRESS
from genesis_stack.spec.model import Stack
from genesis_stack.verify.remote import Remote

CHAT: Final = "/v1/chat/completions"
JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
NOBODY: Final = "no-such-model"
PIXEL: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mP4z8CAFTEMLQkAKP8/"
    "wc53yE8AAAAASUVORK5CYII="
)
"""An image of 8 by 8 red pixels."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `filler` is a number of bytes that are sent as the body instead."""

    address: str
    port: int
    path: str
    method: str = "POST"
    body: str = ""
    filler: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` is None where nothing did, and `error` says why."""

    status: int | None
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    def __str__(self) -> str:
        """The status and the beginning of the body."""
        if self.status is None:
            return self.error
        return f"{self.status} {HTTPStatus(self.status).phrase}\n{self.body[:1000]}"

    @property
    def data(self) -> Mapping[str, Any]:
        """The body as a JSON object; empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def requests_to(stack: Stack, model: str) -> dict[str, Request]:
    """Everything one model is asked, by name."""
    one = stack.models[model]
    listen = one.listen or stack.defaults.listen
    address, port = ANY_ADDRESS.get(listen, listen), one.port

    def chat(content: object, *, asked: str = model, stream: bool = False) -> Request:
        messages = [{"role": "user", "content": content}]
        body = {"model": asked, "messages": messages, "max_tokens": 4, "stream": stream}
        return Request(address, port, CHAT, body=json.dumps(body), headers=JSON)

    found = {
        "health": Request(address, port, "/health", method="GET"),
        "unknown model": chat("Hi", asked=NOBODY),
        "oversize": Request(address, port, CHAT, filler=one.limits.max_body + 1, headers=JSON),
    }
    if one.task in {"text", "vision"}:
        found |= {"completion": chat("Say hello."), "stream": chat("Say hello.", stream=True)}
    if one.task == "vision":
        image = {"type": "image_url", "image_url": {"url": PIXEL}}
        found["image"] = chat([{"type": "text", "text": "What colour is it?"}, image])
    if one.task == "embedding":
        body = json.dumps({"model": model, "input": "Hello."})
        found["embedding"] = Request(address, port, "/v1/embeddings", body=body, headers=JSON)
    return found


def ask_all(
    remote: Remote, program: PurePosixPath, stack: Stack, models: Iterable[str]
) -> Mapping[str, Mapping[str, Answer]]:
    """Ask every model everything, in one round trip; answers by model and name of the request."""
    requests = {
        f"{model}/{name}": asdict(request)
        for model in models
        for name, request in requests_to(stack, model).items()
    }
    said = remote.python(str(program.with_name("python")), "requests.py", json.dumps(requests))
    found: dict[str, dict[str, Answer]] = {}
    for key, answer in said.items():
        model, _, name = key.partition("/")
        found.setdefault(model, {})[name] = Answer(
            answer.get("status"), answer.get("body", ""), answer.get("headers", {}), answer.get("error", "")
        )
    return found
