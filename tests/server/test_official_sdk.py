"""The real SmolLM2 behind the real program, spoken to with OpenAI's own SDK."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionToolParam
from serving import serve_config
from waiting import eventually, until

pytestmark = pytest.mark.model

MODEL = "smollm2"
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
        },
    },
}

VERDICT = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def url(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A running server with the real model."""
    config = tmp_path_factory.mktemp("sdk") / "serve.json"
    config.write_text(json.dumps(serve_config(smollm2, model=MODEL)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        argv = [sys.executable, "-m", "genesis_stack.server.main", "--config", str(config), "--fd", str(fd)]
        process = subprocess.Popen(argv, pass_fds=[fd], stderr=subprocess.PIPE, text=True)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        until(lambda: httpx.get(f"{url}/health", timeout=60).status_code == 200, "ready", seconds=60)
        yield url
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in stderr


@pytest.fixture(scope="module")
def client(url: str) -> Generator[OpenAI]:
    """The synchronous SDK, without retries that could hide a fault."""
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_chat(client: OpenAI) -> None:
    """The same seed gives the same text, and a stream adds up to it."""
    settings = {"model": MODEL, "messages": HELLO, "max_tokens": 12, "seed": 7, "temperature": 0.7}
    whole = client.chat.completions.create(**settings)
    again = client.chat.completions.create(**settings)
    chunks = list(
        client.chat.completions.create(**settings, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert whole.choices[0].message.content == again.choices[0].message.content == text
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens <= 12


def test_log_probabilities(client: OpenAI) -> None:
    """The greedy token is the most likely one, and the texts add up."""
    (choice,) = client.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=6, temperature=0, logprobs=True, top_logprobs=3
    ).choices
    assert choice.logprobs is not None
    content = choice.logprobs.content or []
    assert "".join(entry.token for entry in content) == choice.message.content
    assert all(entry.logprob == max(top.logprob for top in entry.top_logprobs) for entry in content)


def test_a_json_schema_is_kept(client: OpenAI) -> None:
    """What comes back parses and fits."""
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    (choice,) = client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        max_tokens=60,
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema}},
    ).choices
    assert isinstance(json.loads(choice.message.content or "")["age"], int)


@pytest.mark.parametrize("stream", [True, False])
def test_a_required_tool_is_called(client: OpenAI, stream: bool) -> None:
    """Even by a model that was never trained to."""
    settings = {
        "model": MODEL,
        "messages": HELLO,
        "max_tokens": 80,
        "tools": [WEATHER],
        "tool_choice": "required",
    }
    if stream:
        with client.chat.completions.stream(**settings) as events:
            (choice,) = events.get_final_completion().choices
    else:
        (choice,) = client.chat.completions.create(**settings).choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)


def test_completions(client: OpenAI) -> None:
    """Several prompts, several choices, echoed."""
    answer = client.completions.create(model=MODEL, prompt=["One", "Two"], n=2, max_tokens=4, echo=True)
    assert [choice.text[:3] for choice in answer.choices] == ["One", "One", "Two", "Two"]
    streamed = client.completions.create(model=MODEL, prompt="One", max_tokens=4, stream=True)
    assert len(list(streamed)) >= 2


def test_responses(client: OpenAI) -> None:
    """Plain and as events, to which the SDK's own accumulator agrees."""
    answer = client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=8, temperature=0)
    assert answer.output_text
    form = {"type": "json_schema", "name": "verdict", "schema": VERDICT}
    with client.responses.stream(model=MODEL, input="Say hello.", text={"format": form}) as events:
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert events.get_final_response().output_text == text
    assert set(json.loads(text)) == {"ok"}


def test_models(client: OpenAI) -> None:
    """Listed and retrieved."""
    assert [model.id for model in client.models.list()] == [MODEL]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_a_text_model_embeds_nothing(client: OpenAI) -> None:
    """And says so."""
    with pytest.raises(openai.BadRequestError, match="embedding"):
        client.embeddings.create(model=MODEL, input="x")


def test_an_overflowing_prompt_names_both_numbers(client: OpenAI) -> None:
    """The context and the prompt; never a silent cut."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "word " * 5000}])
    assert caught.value.code == "context_length_exceeded"
    assert "2048" in caught.value.message
    assert "50" in caught.value.message


def test_a_control_token_of_a_user_is_spelled_out(url: str) -> None:
    """It costs several tokens, so it is none; benign text is tokenized as ever."""

    def prompt_tokens(content: str) -> int:
        body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 1}
        return int(
            httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()["usage"]["prompt_tokens"]
        )

    assert prompt_tokens("a<|im_end|>b") > prompt_tokens("a b") + 2


async def test_many_at_once(url: str) -> None:
    """The asynchronous SDK, eight streams and a few that leave: every one that stays is answered."""

    async def stay(client: AsyncOpenAI, number: int) -> str:
        messages = [{"role": "user", "content": f"Count to {number}."}]
        chunks = await client.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=16, stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

    async def leave(client: AsyncOpenAI) -> None:
        chunks = await client.chat.completions.create(
            model=MODEL, messages=HELLO, max_tokens=500, stream=True, extra_body={"ignore_eos": True}
        )
        async for _ in chunks:
            break
        await chunks.close()

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        *texts, _, _ = await asyncio.gather(
            *(stay(client, number) for number in range(8)), leave(client), leave(client)
        )
        assert all(texts)
    async with httpx.AsyncClient() as http:

        async def at_rest() -> bool:
            return (await http.get(f"{url}/slots")).json() == []

        await eventually(at_rest, seconds=20, pause=0.05)
