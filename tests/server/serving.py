"""A served model over a scripted engine, with a client of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from scripted_engine import ScriptedEngine

from genesis_stack.engine import template_worker
from genesis_stack.engine.template_process import TemplateError, TemplateProcess
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.render.http import http_config
from genesis_stack.server.app import App
from genesis_stack.server.served_model import ServedModel
from genesis_stack.spec.http import Http

MODEL = "scripted"
ENGINE: Final[Mapping[str, Any]] = {
    "context": 2048,
    "parallel": 4,
    "threads": 2,
    "threads_batch": 2,
    "batch": 512,
    "kv_cache": "f16",
    "flash_attention": True,
    "mlock": False,
    "speculation": "off",
    "queue_requests": 64,
    "queue_tokens": 65536,
    "image_tokens": 1024,
    "image_memory": 2**26,
    "step_target_ms": 50.0,
    "prefix_cache": True,
    "prefix_cache_ram": 0,
    "prefix_cache_disk": 0,
    "prefix_cache_dir": None,
}


def serve_config(weights: Path, *, model: str = MODEL, **limits: Any) -> dict[str, Any]:
    """A complete configuration around this model file."""
    content = weights.read_bytes() if weights.stat().st_size < 1024 else b""
    return {
        "schema_version": 1,
        "model": model,
        "description": "for tests",
        "task": "text",
        "weights": {
            "path": str(weights),
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": weights.stat().st_size,
        },
        "projector": None,
        "draft": None,
        "adapters": {},
        "engine": dict(ENGINE),
        "residency": None,
        "budget": {"memory": 1_000_000_000, "cpus": 2.0},
        "listen": {"host": "127.0.0.1", "port": 1},
        "limits": {
            "request_timeout_s": 60.0,
            "drain_timeout_s": 20.0,
            "max_body_bytes": 1_000_000,
            **limits,
        },
        "http": http_config(Http()).model_dump(mode="json"),
        "guard": {"max_prompt_bytes": 100_000, "max_images": 8, "max_pixels": 16_777_216, "policy": "flag"},
        "audit": {"sink": "off", "directory": ""},
        "logs": {"level": "info", "content": False},
        "tracing": None,
        "access": None,
        "secrets": None,
    }


@dataclass
class Served:
    """The application with its engine and an HTTP client."""

    app: App
    engine: ScriptedEngine
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 1))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://test")

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        """POST JSON."""
        return await self.http.post(
            path, content=json.dumps(body), headers={"content-type": "application/json", **headers}
        )

    async def chat(self, content: str = "hi", **fields: Any) -> httpx.Response:
        """POST a chat of one user message."""
        messages = [{"role": "user", "content": content}]
        return await self.post("/v1/chat/completions", {"model": MODEL, "messages": messages, **fields})


class InProcess(TemplateProcess):
    """Renders here: starting a process a test takes too long."""

    async def start(self) -> None:
        """There is none."""

    async def render(self, source: str, variables: Mapping[str, Any]) -> str:
        """What the worker would answer."""
        try:
            return template_worker.rendered(template_worker.compiled(source), dict(variables))
        except template_worker.Refused as exc:
            raise TemplateError(str(exc)) from None


Serve = Callable[[ScriptedEngine], Awaitable[Served]]


@asynccontextmanager
async def serving(config: ServeConfig) -> AsyncGenerator[Serve]:
    """Makes served models and lets go of them."""
    models = []

    async def serve(engine: ScriptedEngine) -> Served:
        async def factory(_config: ServeConfig) -> ScriptedEngine:
            return engine

        model = ServedModel(config, "c" * 64, InProcess())
        models.append(model)
        await model.load(factory)
        return Served(App(model), engine)

    yield serve
    for model in models:
        await model.drain(0)


def events(response: httpx.Response) -> list[Any]:
    """The data of a stream's events; the final [DONE] is checked and left out."""
    lines = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]
