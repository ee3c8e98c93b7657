from __future__ import annotations

import asyncio
import base64
import io
import os
import random
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest
import pytest_asyncio
from ports import free_port
from waiting import eventually

from engine.running import ENGINE, NOISE, STORY, ask, ask_all, running
from engine.tiny_vision import write_vision_model
from genesis_stack.engine.interface import Image, Token
from genesis_stack.engine.llama import LlamaEngine

BINARY = os.environ.get("GENESIS_LLAMA_SERVER")
LENGTH = 16

pytestmark = [
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(BINARY is None, reason="GENESIS_LLAMA_SERVER names no llama-server to compare with"),
]

PROMPTS = [
    "The capital of France is",
    STORY,
    "def fibonacci(n):\n    ",
    "Water boils at",
    "Three primary colours are",
    "Dear Sir or Madam, I am writing to",
    "In 1969, the first man",
    "SELECT name, age FROM",
    '{"name": "Ada", "born":',
    "Q: What is the tallest mountain?\nA:",
    "import numpy as np\n\n",
    "The quick brown fox",
    "To make bread, first",
    "Roses are red,",
    "1, 2, 3, 5, 8,",
    "Le chat est sur",
    "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nTwo plus two, in one word?<|im_end|>\n<|im_start|>assistant\n",
    "🦄 and 🐙 went",
    "# Title\n\n- one\n- two\n-",
]


@asynccontextmanager
async def llama_server(*arguments: object) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of a llama-server with the engine's settings and these further arguments."""
    port = free_port()
    options = {"-b": ENGINE.batch, "-ub": ENGINE.batch, "-fa": "on", "-np": 1, "-t": 2, "--port": port}
    argv = [str(BINARY), "--no-webui", *map(str, arguments)]
    argv += [str(part) for option in options.items() for part in option]
    process = await asyncio.create_subprocess_exec(*argv, stdout=DEVNULL, stderr=DEVNULL)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            await eventually(lambda: _healthy(client), seconds=60, pause=0.05)
            yield client
    finally:
        process.kill()
        await process.wait()


async def _healthy(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).is_success
    except httpx.TransportError:
        return False


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def peer(smollm2: Path) -> AsyncGenerator[httpx.AsyncClient]:
    """llama-server over the same file with the same settings."""
    async with llama_server("-m", smollm2, "-c", ENGINE.context) as client:
        yield client


async def greedy_at(peer: httpx.AsyncClient, prompt: list[Token]) -> list[Token]:
    """The peer's greedy tokens."""
    body: dict[str, Any] = {"prompt": prompt, "n_predict": LENGTH, "temperature": 0.0, "ignore_eos": True}
    answer = await peer.post("/completion", json={**body, "return_tokens": True, "cache_prompt": False})
    tokens: list[Token] = answer.raise_for_status().json()["tokens"]
    return tokens


async def test_greedy_tokens_are_llama_servers(small: LlamaEngine, peer: httpx.AsyncClient) -> None:
    """Eight at a time here, one by one there: the same tokens, up to where the model itself hesitates."""
    ends = [
        token
        for text in ("<|im_end|>", "<|endoftext|>")
        for token in small.tokenize(text, add_special=False, parse_special=True)
    ]
    bans = dict.fromkeys(ends, -100.0)  # what `ignore_eos` means there
    prompts = [small.tokenize(text, add_special=True, parse_special=True) for text in PROMPTS]
    ours = await ask_all(
        *(
            ask(small, prompt, max_tokens=LENGTH, top_logprobs=5, ignore_eos=True, logit_bias=bans)
            for prompt in prompts
        )
    )
    same = 0
    for text, prompt, answer in zip(PROMPTS, prompts, ours, strict=True):
        theirs = await greedy_at(peer, prompt)
        same += list(answer.tokens) == theirs
        for entry, token in zip(answer.choices[0].logprobs, theirs, strict=True):
            if entry.chosen.token != token:
                top = {other.token: other.logprob for other in entry.top}
                assert entry.chosen.logprob - top.get(token, -99.0) < NOISE, text
                break
    print(f"{same} of {len(PROMPTS)} answers are the same in all {LENGTH} tokens")  # noqa: T201
    assert same >= len(PROMPTS) // 2


async def test_tokens_of_texts_are_llama_servers(small: LlamaEngine, peer: httpx.AsyncClient) -> None:
    """With and without control tokens."""
    for text in PROMPTS:
        for special in (True, False):
            body = {"content": text, "add_special": True, "parse_special": special}
            theirs = (await peer.post("/tokenize", json=body)).json()["tokens"]
            assert small.tokenize(text, add_special=True, parse_special=special) == theirs


async def test_what_is_seen_is_what_llama_server_sees(tmp_path: Path) -> None:
    """A question about two images, as chat: the same greedy text from a tiny Qwen3-VL."""
    files = write_vision_model(tmp_path)
    images = [
        PIL.Image.frombytes("RGB", (96, 160), random.Random(seed).randbytes(96 * 160 * 3)) for seed in (1, 2)
    ]
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What differs?"}]
    for image in images:
        file = io.BytesIO()
        image.save(file, "PNG")
        url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    body = {"messages": [{"role": "user", "content": parts}], "temperature": 0, "max_tokens": LENGTH}
    arguments = ("-m", files.weights, "--mmproj", files.projector, "-c", 512, "--chat-template", "chatml")
    async with llama_server(*arguments) as client:
        theirs = (await client.post("/v1/chat/completions", json=body)).raise_for_status().json()
    async with running(files.weights, projector=files.projector, context=512) as engine:
        tokens = engine.tokenize("<|im_start|>user\nWhat differs?", add_special=True, parse_special=True)
        spans = []
        for image in images:
            prompt = await engine.prepare_image(Image(*image.size, image.tobytes()))
            spans += prompt.at(len(tokens))
            tokens += prompt.tokens
        tokens += engine.tokenize(
            "<|im_end|>\n<|im_start|>assistant\n", add_special=False, parse_special=True
        )
        ours = await ask(engine, tokens, images=spans, max_tokens=LENGTH)
    assert theirs["usage"]["prompt_tokens"] == len(tokens)
    assert theirs["choices"][0]["message"]["content"] == ours.text
