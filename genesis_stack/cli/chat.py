"""`genesis-stack chat`: talk to a model in the terminal, over its OpenAI-compatible API."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from genesis_stack.cli.api_key import api_key
from genesis_stack.cli.completion import applied_models
from genesis_stack.cli.host import AS_JSON, host_options, model_address, open_host, say
from genesis_stack.errors import GenesisError


@dataclass
class Answer:
    """One streamed answer; times are seconds since the request was sent."""

    text: str = ""
    tokens: int = 0
    first: float | None = None
    total: float = 0.0
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def ttft(self) -> float:
        """Time to the first token."""
        return self.total if self.first is None else self.first

    @property
    def tokens_per_second(self) -> float:
        """Rate from the first token to the last."""
        tokens = int(self.usage.get("completion_tokens", self.tokens))
        seconds = self.total - self.ttft
        return (tokens - 1) / seconds if tokens > 1 and seconds > 0 else 0.0


@click.command()
@click.argument("model", required=False, shell_complete=applied_models)
@click.option("-m", "--message", help="Ask this one question and end; for scripts.")
@click.option("--system", help="System prompt.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Longest answer, in tokens.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    default=0.6,
    show_default=True,
    help="0 always gives the likeliest answer.",
)
@AS_JSON
@host_options
def chat(
    *,
    model: str | None,
    message: str | None,
    system: str | None,
    max_tokens: int,
    temperature: float,
    as_json: bool,
    root: Path | None,
    backend: str | None,
) -> None:
    """Talk to MODEL, which may be left out when there is only one.

    Where the stack asks for an API key, it is taken from GENESIS_API_KEY, else from GENESIS_LLM_API_KEY or
    the file that GENESIS_LLM_API_KEY_FILE names.
    """
    if as_json and message is None:
        raise click.UsageError("--json is for one question: add --message")
    name, url = model_address(open_host(root, backend), model)
    body = {"model": name, "max_tokens": max_tokens, "temperature": temperature, "top_p": 0.95}
    history = [{"role": "system", "content": system}] if system else []
    if message is not None:
        answer = Answer()
        ask(url, body, [*history, {"role": "user", "content": message}], answer, quiet=as_json)
        if as_json:
            click.echo(json.dumps(_data(name, answer), indent=2))
        return
    say(f"{name} at {url}; Ctrl-D ends, Ctrl-C stops an answer")
    converse(url, body, history)


def converse(url: str, body: dict[str, Any], history: list[dict[str, str]]) -> None:
    """Question and answer until the end of input; an interrupted answer is kept as far as it came."""
    while True:
        try:
            question = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if not question.strip():
            continue
        asked = [*history, {"role": "user", "content": question}]
        answer = Answer()
        try:
            ask(url, body, asked, answer)
        except KeyboardInterrupt:
            click.echo()
            if not answer.text:
                continue
        except GenesisError as error:
            say(f"error: {error}")
            continue
        history = [*asked, {"role": "assistant", "content": answer.text}]


def ask(
    url: str, body: dict[str, Any], messages: list[dict[str, str]], answer: Answer, *, quiet: bool = False
) -> None:
    """Send a conversation and print the answer as it comes, into `answer` too, then its speed on stderr."""
    start = time.monotonic()
    for event in stream(url, {**body, "messages": messages, "stream": True}):
        answer.usage = event.get("usage") or answer.usage
        for choice in event.get("choices", []):
            text = choice.get("delta", {}).get("content") or ""
            if text:
                answer.first = time.monotonic() - start if answer.first is None else answer.first
                answer.tokens += 1
                answer.text += text
                if not quiet:
                    click.echo(text, nl=False)
    answer.total = time.monotonic() - start
    if not quiet:
        click.echo()
        say(f"{answer.tokens_per_second:.1f} tokens/s, first token after {answer.ttft * 1000:.0f} ms")


def stream(url: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a streamed chat completion (text/event-stream, as OpenAI's API sends it).

    Raises:
        GenesisError: no connection, or the server refused; the message is the server's.
    """
    import httpx

    key = api_key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {**body, "stream_options": {"include_usage": True}}
    timeout = httpx.Timeout(600.0, connect=10.0)
    try:
        with httpx.stream(
            "POST",
            f"{url}/v1/chat/completions",
            json=body,
            headers=headers,
            timeout=timeout,
            trust_env=False,
            verify=False,  # noqa: S501 -- of this machine: its certificate bears the name that clients use
        ) as response:
            if response.is_error:
                response.read()
                raise GenesisError(_refusal(response.status_code, response.text))
            for line in response.iter_lines():
                data = line.removeprefix("data: ")
                if line.startswith("data: ") and data != "[DONE]":
                    event = json.loads(data)
                    if "error" in event:
                        raise GenesisError(_refusal(200, data))
                    yield event
    except httpx.HTTPError as error:
        raise GenesisError(
            f"{url}: {error}", hint="see `genesis-stack status` and `genesis-stack logs`"
        ) from None


def _refusal(status: int, text: str) -> str:
    try:
        return f"the server says ({status}): {json.loads(text)['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"the server says ({status}): {text[:500]}"


def _data(model: str, answer: Answer) -> dict[str, object]:
    return {
        "schema_version": 1,
        "model": model,
        "text": answer.text,
        "ttft_seconds": round(answer.ttft, 4),
        "total_seconds": round(answer.total, 4),
        "tokens_per_second": round(answer.tokens_per_second, 2),
        "usage": answer.usage,
    }
