"""What must never be seen: prompts, keys, passwords in URLs."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from client.fault_proxy import Fault, fault_proxy
from client.stand_in import MODEL, Answer, Reply, Request, chat_reply, error_reply, stand_in, stream_reply
from genesis_stack.client import LocalLLMClient, LocalLLMError, Message, StreamInterruptedError
from genesis_stack.client.redaction import scrubbed, shown_url
from genesis_stack.protocol.keys import ClientKey

PROMPT = "the secret recipe of the house"
KEY = ClientKey.generate().text


def _echo(request: Request) -> Reply:
    return error_reply(400, f"cannot answer {json.dumps(request.body['messages'])} for {PROMPT}")


def _cut(_request: Request) -> Reply:
    return stream_reply("Well, ", done=False, cut=True)


@pytest.mark.parametrize(
    "answer", [_echo, _cut, lambda _: error_reply(503, PROMPT), lambda _: Reply(body=b"x")]
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_no_error_leads_to_a_prompt_or_a_key(
    answer: Answer, streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its text, nor what hangs on it: httpx's exceptions would carry the whole request along."""
    caplog.set_level(logging.DEBUG, "genesis_stack")
    async with stand_in(answer) as server:
        settings = {"endpoints": [{"url": server.url, "model": MODEL}], "api_key": KEY}
        async with LocalLLMClient(**settings, retry={"initial": 0.0}) as client:
            with pytest.raises(LocalLLMError) as caught:
                await _ask(client, streamed=streamed)
    seen = [text for error in _reachable(caught.value) for text in _everything(error)]
    seen += [record.getMessage() + repr(record.__dict__) for record in caplog.records]
    for text in seen:
        assert PROMPT not in text
        assert KEY not in text


async def test_a_connection_that_fails_leaks_nothing_either() -> None:
    """Nor the httpx error that it was."""
    async with fault_proxy(9) as proxy:
        proxy.always(Fault(reset_after=0))
        settings = {"endpoints": [{"url": proxy.url, "model": MODEL}], "api_key": KEY}
        async with LocalLLMClient(**settings, retry={"attempts": 1}) as client:
            for call in (client.complete_text(PROMPT), client.models(), client.tokenize(PROMPT)):
                with pytest.raises(LocalLLMError) as caught:
                    await call
                assert list(_reachable(caught.value)) == [caught.value]


async def test_no_repr_shows_what_was_said() -> None:
    """Results go into logs by accident; texts must not go with them."""
    async with (
        stand_in(lambda _: chat_reply(PROMPT)) as server,
        LocalLLMClient(endpoints=[{"url": server.url, "model": MODEL}]) as client,
    ):
        answer = await client.complete_text(PROMPT)
        batch = await client.complete_batch([PROMPT])
    shown = f"{answer!r} {batch!r} {Message.user(PROMPT)!r}"
    assert PROMPT not in shown
    assert answer.text == PROMPT


def test_urls_are_shown_without_what_they_carry() -> None:
    """Host and path are enough to find a server."""
    url = "https://user:hunter2@host:8443/v1/models?token=hunter2#hunter2"
    assert shown_url(url) == "https://host:8443/v1/models"
    assert shown_url("nonsense hunter2") == "[redacted]"


def test_a_message_is_shortened_and_loses_what_it_repeats() -> None:
    """Whole texts and their lines; short words stay."""
    body = {"messages": [{"role": "user", "content": f"no\n{PROMPT}"}], "model": "model-name"}
    message = f"no: {PROMPT} is too long for model-name " + "x" * 1000
    shown = scrubbed(message, body)
    assert shown.startswith("no: [redacted] is too long for model-name")
    assert len(shown) == 300


async def _ask(client: LocalLLMClient, *, streamed: bool) -> None:
    messages = [Message.system(PROMPT), Message.user(PROMPT)]
    if not streamed:
        await client.chat(messages)
        return
    async with client.stream(messages) as stream:
        async for _ in stream:
            pass


def _reachable(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that hangs on it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _everything(error: BaseException) -> list[str]:
    """What a log, a debugger or an error tracker would show."""
    values: dict[str, Any] = {name: value for name, value in vars(error).items() if name != "partial"}
    partial = repr(error.partial) if isinstance(error, StreamInterruptedError) else ""
    return [str(error), repr(error), repr(values), partial, "".join(traceback.format_exception(error))]
