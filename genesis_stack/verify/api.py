"""What a server is asked on its port, from the host itself, and what it answered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from genesis_stack.layout import Layout
from genesis_stack.protocol.access import KEYS_FILE
from genesis_stack.render.access import access_directory
from genesis_stack.spec.addresses import from_here
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
KEY_FILE: Final = "verify.key"
"""File below the configuration with a key of the client that verifies; it never leaves the host."""
MOST_ASKED: Final = 200
"""Requests that are made at most to use up a client's minute."""
TOO_SLOW: Final = "it answers too slowly for its limit to be reached"
"""What on_host/requests.py says where a minute's requests take more than a minute."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; see on_host/requests.py for its fields."""

    address: str
    port: int
    path: str
    method: str = "POST"
    body: str = ""
    filler: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    shows: Literal["nothing", "key", "forgery", "replay"] = "key"
    times: int = 0
    kept: int = 16_384
    tls: bool = False


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


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers by model and name of the request; `problem` says why no key could be shown."""

    by_model: Mapping[str, Mapping[str, Answer]]
    client: str = ""
    signs: bool = False
    problem: str = ""


def requests_to(stack: Stack, model: str) -> dict[str, Request]:
    """Everything one model is asked, by name; what uses up the client's minute comes last."""
    one = stack.models[model]
    listen = one.listen or stack.defaults.listen
    start = Request(from_here(listen), one.port, CHAT, headers=JSON, tls=stack.http.tls is not None)
    hello = replace(start, body=_chat(model, "Say hello."))
    found = {
        "health": replace(start, path="/health", method="GET", headers={}, shows="nothing"),
        "unknown model": replace(start, body=_chat(NOBODY, "Hi")),
        "oversize": replace(start, filler=one.limits.max_body + 1),
    }
    if one.task in {"text", "vision"}:
        found |= {"completion": hello, "stream": replace(start, body=_chat(model, "Say hello.", stream=True))}
    if one.task == "vision":
        image = {"type": "image_url", "image_url": {"url": PIXEL}}
        question = [{"type": "text", "text": "What colour is it?"}, image]
        found["image"] = replace(start, body=_chat(model, question))
    if one.task == "embedding":
        body = json.dumps({"model": model, "input": "Hello."})
        found["embedding"] = replace(start, path="/v1/embeddings", body=body)
    return found | (_of_strangers(stack, hello) if stack.clients else {})


def _of_strangers(stack: Stack, hello: Request) -> dict[str, Request]:
    rates = [client.requests_per_minute for client in stack.clients.values()]
    many = replace(
        hello, path="/v1/models", method="GET", body="", headers={}, times=min(max(rates), MOST_ASKED)
    )
    return {
        "no key": replace(hello, shows="nothing"),
        "wrong signature": replace(hello, shows="forgery"),
        "replay": replace(hello, shows="replay"),
        "over quota": many,
    }


def _chat(model: str, content: object, *, stream: bool = False) -> str:
    messages = [{"role": "user", "content": content}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": 4, "stream": stream})


def ask_all(
    remote: Remote, program: PurePosixPath, stack: Stack, models: Iterable[str], layout: Layout
) -> Answers:
    """Ask every model everything, in one round trip."""
    requests = {
        f"{model}/{name}": asdict(request)
        for model in models
        for name, request in requests_to(stack, model).items()
    }
    said, caller = _exchange(remote, program, requests, layout)
    found: dict[str, dict[str, Answer]] = {}
    for key, answer in said.items():
        model, _, name = key.partition("/")
        found.setdefault(model, {})[name] = answer
    problem = caller.get("problem", "") if stack.clients else ""
    return Answers(found, caller.get("client", ""), bool(caller.get("signs")), problem)


def ask(
    remote: Remote, program: PurePosixPath, requests: Mapping[str, Request], layout: Layout
) -> Mapping[str, Answer]:
    """Ask anything on the host, in one round trip; answers by name of the request."""
    return _exchange(remote, program, {name: asdict(one) for name, one in requests.items()}, layout)[0]


def _exchange(
    remote: Remote, program: PurePosixPath, requests: Mapping[str, Any], layout: Layout
) -> tuple[dict[str, Answer], Mapping[str, Any]]:
    told = {
        "requests": requests,
        "key_file": str(layout.config / KEY_FILE),
        "issued": str(access_directory(layout) / KEYS_FILE),
    }
    said = remote.python(str(program.with_name("python")), "requests.py", json.dumps(told))
    caller = said.pop("caller")
    answers = {
        name: Answer(one.get("status"), one.get("body", ""), one.get("headers", {}), one.get("error", ""))
        for name, one in said.items()
    }
    return answers, caller
