"""Images over HTTP, with a real engine over a tiny vision model."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest
import pytest_asyncio
from engine.running import ask, collect, request, running
from engine.running import serve_config as engine_config
from engine.tiny_vision import write_vision_model
from serving import InProcess

from genesis_stack.engine.interface import Engine, Image
from genesis_stack.engine.llama import LlamaEngine
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server.app import App
from genesis_stack.server.served_model import ServedModel

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = (96, 160)
BROKEN = (
    "data:image/png;base64,"
    + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8) + b"\x00\x00\x00\x10" * 20).decode()
)


def picture(seed: int = 1, mode: str = "RGB") -> PIL.Image.Image:
    """Random pixels."""
    data = random.Random(seed).randbytes(SIZE[0] * SIZE[1] * len(mode))
    return PIL.Image.frombytes(mode, SIZE, data)


def url(image: PIL.Image.Image, kind: str = "PNG", **options: Any) -> str:
    """The image as a data: URI."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


class Client:
    """Asks the served vision model."""

    def __init__(self, http: httpx.AsyncClient, engine: LlamaEngine) -> None:
        self.http = http
        self.engine = engine

    async def chat(self, *urls: str, **fields: Any) -> httpx.Response:
        """What is on the images?"""
        parts = [{"type": "image_url", "image_url": {"url": one}} for one in urls]
        content = [{"type": "text", "text": "What is this?"}, *parts]
        body = {"model": "small", "messages": [{"role": "user", "content": content}], "temperature": 0}
        return await self.http.post("/v1/chat/completions", json={**body, "max_tokens": 8, **fields})

    async def answer(self, *urls: str) -> str:
        """The text of the answer."""
        response = await self.chat(*urls)
        assert response.status_code == 200, response.text
        text = response.json()["choices"][0]["message"]["content"]
        assert isinstance(text, str)
        return text


def _config(weights: Path, projector: Path | None) -> ServeConfig:
    config = engine_config(weights, projector=projector, context=512)
    guard = config.guard.model_copy(update={"max_images": 3, "max_pixels": 100_000})
    return config.model_copy(update={"guard": guard})


@asynccontextmanager
async def served(config: ServeConfig, engine: LlamaEngine) -> AsyncGenerator[Client]:
    """A client of a model that is served with this engine."""

    async def factory(_config: ServeConfig) -> Engine:
        return engine

    model = ServedModel(config, "c" * 64, InProcess())
    await model.load(factory)
    transport = httpx.ASGITransport(App(model), client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield Client(http, engine)
    await model.drain(0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Client]:
    """A client of the tiny vision model."""
    files = write_vision_model(tmp_path_factory.mktemp("vision"))
    config = _config(files.weights, files.projector)
    async with served(config, LlamaEngine(config)) as client:
        yield client


async def test_the_answer_is_the_engines(client: Client) -> None:
    """The image stands where the message has it, and its tokens are counted."""
    image = picture()
    engine = client.engine
    prompt = await engine.prepare_image(Image(*SIZE, image.tobytes()))
    before = engine.tokenize("<|im_start|>user\nWhat is this?", add_special=True, parse_special=True)
    after = engine.tokenize("<|im_end|>\n<|im_start|>assistant\n", add_special=False, parse_special=True)
    tokens = [*before, *prompt.tokens, *after]
    own = await collect(await engine.submit(request(engine, tokens, images=prompt.at(len(before)))))
    response = (await client.chat(url(image))).json()
    assert response["choices"][0]["message"]["content"] == own.text
    assert response["usage"]["prompt_tokens"] == len(tokens)


async def test_every_lossless_format_shows_the_same(client: Client) -> None:
    """PNG, WebP and the first frame of a GIF."""
    image = picture(2)
    few = image.quantize(64)
    assert await client.answer(url(image)) == await client.answer(url(image, "WEBP", lossless=True))
    animated = url(few, "GIF", save_all=True, append_images=[picture(3).quantize(64)])
    assert await client.answer(animated) == await client.answer(url(few.convert("RGB")))
    assert await client.answer(url(image)) != await client.answer(url(few.convert("RGB")))


async def test_a_photo_is_turned_upright(client: Client) -> None:
    """By its EXIF orientation."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    photo = url(picture(4), "JPEG", exif=exif)
    plain = PIL.Image.open(io.BytesIO(base64.b64decode(photo.partition(",")[2])))
    upright = plain.transpose(PIL.Image.Transpose.ROTATE_270)
    assert await client.answer(photo) == await client.answer(url(upright))
    assert await client.answer(photo) != await client.answer(url(plain))


async def test_what_is_transparent_is_white(client: Client) -> None:
    """As on a page, not whatever the hidden pixels hold."""
    image = picture(5, "RGBA")
    white = PIL.Image.new("RGBA", SIZE, "white")
    white.alpha_composite(image)
    assert await client.answer(url(image)) == await client.answer(url(white.convert("RGB")))


async def test_several_images_stand_in_their_order(client: Client) -> None:
    """Exchanging them changes the answer."""
    one, other = url(picture(6)), url(picture(7))
    assert await client.answer(one, other) != await client.answer(other, one)


async def test_responses_take_images_too(client: Client) -> None:
    """With the same answer as chat."""
    image = url(picture(8))
    content = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": image}]
    body = {"model": "small", "input": [{"role": "user", "content": content}], "temperature": 0}
    response = await client.http.post("/v1/responses", json={**body, "max_output_tokens": 8})
    text = response.json()["output"][-1]["content"][0]["text"]
    assert text == await client.answer(image)


@pytest.mark.parametrize(
    "urls",
    [
        [BROKEN],
        ["data:image/png;base64,AAAA"],
        ["data:image/png;base64,%%%"],
        ["https://127.0.0.1/cat.png"],
        ["file:///etc/passwd"],
        [url(picture())[:400]],
        [url(PIL.Image.new("RGB", (1000, 1000)))],
        [url(picture())] * 4,
    ],
    ids=["broken", "no header", "no base64", "http", "file", "cut short", "too large", "too many"],
)
async def test_what_is_no_proper_image_is_refused(client: Client, urls: list[str]) -> None:
    """With 400 and the field, and the next one is answered."""
    response = await client.chat(*urls)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("messages[0].content[")
    assert await client.answer(url(picture()))


async def test_a_text_model_refuses_images(smollm2: Path) -> None:
    """With the reason."""
    async with running(smollm2) as engine:
        await ask(engine, "Hello")
        async with served(_config(smollm2, None), engine) as client:
            response = await client.chat(url(picture()))
        assert response.status_code == 400
        assert "text only" in response.json()["error"]["message"]
