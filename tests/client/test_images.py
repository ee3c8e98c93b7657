"""Vision messages: in OpenAI's shape, against a server that records, and against one that sees."""

from __future__ import annotations

import base64
from collections.abc import Generator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from engine.tiny_vision import write_vision_model

from client.live_server import LiveServer
from client.stand_in import MODEL, Reply, Request, StandIn, chat_reply, stand_in
from genesis_stack.client import ImageError, LocalLLMClient, Message

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def client_of(server: StandIn, **settings: Any) -> LocalLLMClient:
    """A client of a text and a vision model."""
    endpoints = [
        {"url": server.url, "model": MODEL},
        {"url": server.url, "model": "eyes", "task": "vision"},
    ]
    return LocalLLMClient(endpoints=endpoints, **settings)


@pytest.mark.parametrize("kind", ["path", "text path", "bytes", "uri"])
async def test_an_image_travels_inside_the_request_to_the_vision_model(kind: str, tmp_path: Path) -> None:
    """Whatever it is given as; the server fetches nothing."""
    path = tmp_path / "image.png"
    path.write_bytes(PNG)
    sources = {"path": path, "text path": str(path), "bytes": PNG, "uri": URI}
    async with stand_in(lambda _: chat_reply()) as server, client_of(server) as client:
        await client.describe_image(sources[kind], "What is it?")  # type: ignore[arg-type]
    (request,) = server.requests
    assert request.body["model"] == "eyes"
    assert request.body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": URI}},
                {"type": "text", "text": "What is it?"},
            ],
        }
    ]


async def test_a_url_is_fetched_by_the_client_and_only_from_allowed_hosts() -> None:
    """Without our key, and never by the server."""

    def answer(request: Request) -> Reply:
        return chat_reply() if request.method == "POST" else Reply(body=PNG)

    async with stand_in(answer) as server:
        url = f"{server.url}/cat.png?token=hunter2"
        async with client_of(server, api_key="secret") as client:
            with pytest.raises(ImageError, match="image_hosts") as caught:
                await client.describe_image(url)
            assert "hunter2" not in str(caught.value)
        assert not server.requests
        async with client_of(server, api_key="secret", image_hosts=["127.0.0.1"]) as client:
            await client.describe_image(url)
    fetched, asked = server.requests
    assert "authorization" not in fetched.headers
    assert asked.body["messages"][0]["content"][0]["image_url"]["url"] == URI


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (b"GIF87", "no image of a known kind"),
        (b"<svg/>", "no image of a known kind"),
        (PNG + b"x" * 1000, "more than 500 bytes"),
        (Path("/nowhere/cat.png"), "No such file"),
        ("data:text/html;base64,PGh0bWw+", "no base64 image"),
        (3, "a int is no image"),
    ],
)
async def test_what_is_no_image_is_refused_here(source: Any, word: str) -> None:
    """By its first bytes, not by its name; and nothing is sent."""
    async with stand_in(lambda _: chat_reply()) as server, client_of(server, max_image_bytes=500) as client:
        with pytest.raises(ImageError, match=word):
            await client.chat([Message.user("What?", source)])
    assert not server.requests


async def test_images_in_openais_own_shape_also_find_the_vision_model() -> None:
    """Messages that come from a cloud SDK."""
    part = {"type": "image_url", "image_url": {"url": URI}}
    async with stand_in(lambda _: chat_reply()) as server, client_of(server) as client:
        await client.chat([{"role": "user", "content": [part]}])
    assert server.requests[0].body["model"] == "eyes"


@pytest.fixture
def eyes(tmp_path: Path) -> Generator[LiveServer]:
    """A real server of a tiny vision model with random weights."""
    files = write_vision_model(tmp_path)
    server = LiveServer(tmp_path / "live", files.weights, files.projector, model="eyes")
    server.prepare()
    server.start()
    server.until_ready()
    yield server
    server.kill()


async def test_a_real_vision_model_sees_the_picture(eyes: LiveServer, tmp_path: Path) -> None:
    """The same pixels give the same answer, from a file or from memory; the picture takes tokens."""
    picture = PIL.Image.effect_noise((96, 160), 80).convert("RGB")
    picture.save(tmp_path / "picture.png")
    async with LocalLLMClient.from_stack(eyes.stack, client="bearer", api_key=eyes.key) as client:
        blind = await client.complete_text("What is it?", max_tokens=4)
        options = {"max_tokens": 4, "temperature": 0.0}
        seen = [
            await client.describe_image(source, "What is it?", **options)
            for source in (picture, tmp_path / "picture.png")
        ]
    assert seen[0].text == seen[1].text
    assert seen[0].usage.prompt_tokens > blind.usage.prompt_tokens + 10
