"""Other people's clients against a real server: the official SDK, signed and not, and curl."""

from __future__ import annotations

import json
import shutil
import subprocess

import httpx
import httpx2
import openai
import pytest

from client.live_server import MODEL, LiveServer
from genesis_stack.client import BearerAuth, SignatureAuth

pytestmark = pytest.mark.model

MESSAGES = [{"role": "user", "content": "Hi."}]


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
def test_the_official_sdk_signs(library: object, live: LiveServer) -> None:
    """Over either generation of httpx; calls, streams, and not its own Bearer key beside the signature."""
    auth = SignatureAuth(live.keys["signer"].text)
    http = library.Client(auth=auth)  # type: ignore[attr-defined]
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="unused", http_client=http) as client:
        answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=3)  # type: ignore[call-overload]
        assert answer.choices[0].message.content
        stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=3, stream=True)  # type: ignore[call-overload]
        assert [chunk for chunk in stream if chunk.choices]
        assert client.models.list().data[0].id == MODEL


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
async def test_the_official_async_sdk_signs(library: object, live: LiveServer) -> None:
    """Likewise."""
    http = library.AsyncClient(auth=SignatureAuth(live.keys["signer"].text))  # type: ignore[attr-defined]
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="unused", http_client=http) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=3)  # type: ignore[call-overload]
        assert answer.choices[0].message.content
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,  # type: ignore[arg-type]
            max_tokens=3,
            stream=True,
        )
        assert [chunk async for chunk in stream if chunk.choices]


def test_the_official_sdk_is_refused_without_a_signature(live: LiveServer) -> None:
    """Where the client must sign, its own key is no key."""
    key = live.keys["signer"].text
    client = openai.OpenAI(base_url=f"{live.url}/v1", api_key=key, max_retries=0)
    with client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_the_official_sdk_takes_a_bearer_key_as_its_own(live: LiveServer) -> None:
    """Nothing but the address and the key changes."""
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key=live.key) as client:
        assert client.models.list().data[0].id == MODEL
    assert httpx.get(f"{live.url}/v1/models", auth=BearerAuth(live.key)).status_code == 200


def test_curl_with_a_bearer_key(live: LiveServer) -> None:
    """The key from a file, so that no process list shows it."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl here")
    header = live.root / "header"
    header.write_text(f"Authorization: Bearer {live.key}\n")
    body = json.dumps({"model": MODEL, "messages": MESSAGES, "max_tokens": 3})
    result = subprocess.run(
        [curl, "-sS", "--fail", "-H", f"@{header}", "--json", body, f"{live.url}/v1/chat/completions"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout)["choices"][0]["message"]["content"]
