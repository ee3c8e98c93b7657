"""What each client may use: exact under concurrency, given back when not used, and told honestly."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from access_files import AccessFiles, bearer
from clock import Clock
from scripted_engine import ScriptedEngine, saying
from serving import MODEL, Serve, Served, serving
from waiting import eventually

from genesis_stack.engine.interface import Delta, EngineUnavailableError, GenerationRequest

PROMPT = "four"
"""As a completion's prompt it is four tokens of the scripted engine, whose answers are two more."""


@pytest.fixture
def files(tmp_path: Path) -> AccessFiles:
    """No client yet."""
    return AccessFiles(tmp_path)


@pytest.fixture
async def serve(files: AccessFiles, weights: Path) -> AsyncGenerator[Serve]:
    """Serve to declared clients alone."""
    files.write()
    async with serving(files.config(weights)) as serve:
        yield serve


@pytest.fixture
def clock() -> Clock:
    """Stands still."""
    return Clock()


@pytest.fixture
async def served(serve: Serve, clock: Clock) -> Served:
    """A server whose time stands still."""
    served = await serve(ScriptedEngine())
    served.app.door._limits._clock = clock
    return served


def client(files: AccessFiles, name: str = "alice", **limits: Any) -> dict[str, str]:
    """Declare a client and return what it sends."""
    files.declare(name, **limits)
    return bearer(files.issue(name))


async def complete(served: Served, headers: dict[str, str], **fields: Any) -> httpx.Response:
    """Ask for a completion: 4 tokens of prompt, and 2 of an answer."""
    body = {"model": MODEL, "prompt": PROMPT, "max_tokens": 6, **fields}
    return await served.post("/v1/completions", body, **headers)


def remaining(response: httpx.Response) -> int:
    """Tokens left, as the answer's head said after the work."""
    return int(response.headers["x-ratelimit-remaining-tokens"])


async def test_a_thousand_at_once_admit_exactly_the_allowance(served: Served, files: AccessFiles) -> None:
    """Not one more and not one less."""
    me = client(files, requests_per_minute=60)
    answers = await asyncio.gather(*(complete(served, me) for _ in range(1000)))
    assert Counter(answer.status_code for answer in answers) == {200: 60, 429: 940}
    assert len(served.engine.requests) == 60


async def test_a_thousand_at_once_use_exactly_the_tokens(served: Served, files: AccessFiles) -> None:
    """While none has ended, each holds what it might use: 10 tokens."""
    release = asyncio.Event()

    async def waiting(request: GenerationRequest) -> AsyncGenerator[Delta]:
        await release.wait()
        async with aclosing(saying("a", "b")(request)) as deltas:
            async for delta in deltas:
                yield delta

    served.engine.script = waiting
    me = client(files, tokens_per_minute=1234)
    asking = [asyncio.create_task(complete(served, me)) for _ in range(1000)]
    await eventually(lambda: sum(task.done() for task in asking) >= 1000 - 123)
    release.set()
    answers = await asyncio.gather(*asking)
    assert Counter(answer.status_code for answer in answers) == {200: 123, 429: 877}


async def test_what_was_not_used_is_given_back(served: Served, files: AccessFiles) -> None:
    """Ten are set aside, six are used."""
    me = client(files, tokens_per_minute=100)
    assert remaining(await complete(served, me)) == 94
    assert remaining(await complete(served, me)) == 88


async def test_a_client_that_leaves_pays_for_what_was_done(served: Served, files: AccessFiles) -> None:
    """The prompt and the tokens until then, not the rest of what was set aside."""

    async def endless(request: GenerationRequest) -> AsyncGenerator[Delta]:
        yield Delta(0, "one", tokens=(0,))
        await asyncio.Event().wait()
        del request

    served.engine.script = endless
    me = client(files, tokens_per_minute=100)
    gone = asyncio.Event()
    body = json.dumps({"model": MODEL, "prompt": PROMPT, "max_tokens": 50, "stream": True}).encode()
    await asyncio.wait_for(leave_after_the_first_token(served, me, body, gone), 5)
    served.engine.script = saying("a", "b")
    assert remaining(await complete(served, me)) == 100 - 5 - 6


async def leave_after_the_first_token(
    served: Served, headers: dict[str, str], body: bytes, gone: asyncio.Event
) -> None:
    """A streamed completion whose client closes the connection when it has seen something."""
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body"):
            gone.set()

    fields = {"content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/completions",
        "raw_path": b"/v1/completions",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "client": ("192.0.2.1", 1),
        "http_version": "1.1",
        "scheme": "http",
    }
    await served.app(scope, receive, send)


async def test_what_the_engine_refuses_costs_no_tokens(served: Served, files: AccessFiles) -> None:
    """Only the request counts."""
    me = client(files, tokens_per_minute=100)
    served.engine.refusal = EngineUnavailableError("not now", retry_after=1)
    assert (await complete(served, me)).status_code == 503
    served.engine.refusal = None
    assert remaining(await complete(served, me)) == 94


async def test_more_than_the_bucket_ever_holds_is_a_400(served: Served, files: AccessFiles) -> None:
    """Waiting would not help."""
    me = client(files, tokens_per_minute=100)
    answer = await complete(served, me, max_tokens=97)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "tokens_per_minute_exceeded")
    assert (await complete(served, me, max_tokens=96)).status_code == 200


async def test_an_answer_without_a_bound_gets_what_the_bucket_holds(
    served: Served, files: AccessFiles
) -> None:
    """And no more: it can never use what its client does not have."""
    me = client(files, tokens_per_minute=100)
    message = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    answer = await served.post("/v1/chat/completions", message, **me)
    (request,) = served.engine.requests
    assert answer.status_code == 200
    assert request.sampling.max_tokens == 100 - len(request.prompt)


async def test_the_bucket_fills_evenly_and_retry_after_is_honest(
    served: Served, files: AccessFiles, clock: Clock
) -> None:
    """Whole seconds, and when they are over the request passes."""
    me = client(files, requests_per_minute=6)
    for _ in range(6):
        assert (await complete(served, me)).status_code == 200
    clock.now += 3
    refused = await complete(served, me)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    clock.now += 7
    assert (await complete(served, me)).status_code == 200
    assert (await complete(served, me)).status_code == 429


async def test_tokens_come_back_with_time(served: Served, files: AccessFiles, clock: Clock) -> None:
    """60 a minute is one a second: what lacks two tokens waits two seconds."""
    me = client(files, tokens_per_minute=60)
    assert (await complete(served, me, max_tokens=56)).status_code == 200  # uses six of sixty
    refused = await complete(served, me, max_tokens=52)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    clock.now += 2
    assert (await complete(served, me, max_tokens=52)).status_code == 200


async def test_requests_at_a_time_are_bounded(served: Served, files: AccessFiles) -> None:
    """Those beyond are refused at once, and one that ends makes room."""
    release = asyncio.Event()

    async def waiting(request: GenerationRequest) -> AsyncGenerator[Delta]:
        await release.wait()
        async for delta in saying("a")(request):
            yield delta

    served.engine.script = waiting
    me = client(files, concurrent=2)
    running = [asyncio.create_task(complete(served, me)) for _ in range(2)]
    await eventually(lambda: len(served.engine.requests) == 2)
    refused = await asyncio.wait_for(complete(served, me), 5)
    assert refused.status_code == 429
    release.set()
    assert {answer.status_code for answer in await asyncio.gather(*running)} == {200}
    assert (await complete(served, me)).status_code == 200


async def test_strangers_burn_nobodys_allowance(served: Served, files: AccessFiles) -> None:
    """Nor does one client another's."""
    me = client(files, requests_per_minute=2)
    other = client(files, "bob", requests_per_minute=1)
    wrong = {"authorization": me["authorization"][:-4] + "0000"}
    for _ in range(20):
        assert (await complete(served, wrong)).status_code == 401
    assert (await complete(served, other)).status_code == 200
    assert (await complete(served, other)).status_code == 429
    assert [(await complete(served, me)).status_code for _ in range(3)] == [200, 200, 429]


async def test_the_fields_tell_what_is_left(served: Served, files: AccessFiles, clock: Clock) -> None:
    """OpenAI's and the IETF's, on every answer to a known client."""
    me = client(files, requests_per_minute=60, tokens_per_minute=6000)
    await complete(served, me)
    clock.now += 0.5
    fields = (await complete(served, me)).headers
    assert fields["x-ratelimit-limit-requests"] == "60"
    assert fields["x-ratelimit-remaining-requests"] == "58"
    assert fields["x-ratelimit-reset-requests"] == "1.5s"
    assert fields["x-ratelimit-limit-tokens"] == "6000"
    assert fields["x-ratelimit-remaining-tokens"] == "5994"
    assert fields["x-ratelimit-reset-tokens"] == "60ms"
    assert fields["ratelimit-policy"] == '"requests";q=60;w=60, "tokens";q=6000;w=60'
    assert fields["ratelimit"] == '"requests";r=58;t=2, "tokens";r=5994;t=1'
    assert "x-ratelimit-limit-requests" not in (await complete(served, {})).headers


async def test_changed_limits_hold_from_the_next_request_on(served: Served, files: AccessFiles) -> None:
    """What was used stays used."""
    me = client(files, requests_per_minute=2)
    assert [(await complete(served, me)).status_code for _ in range(3)] == [200, 200, 429]
    files.declare("alice", requests_per_minute=3)
    assert [(await complete(served, me)).status_code for _ in range(2)] == [200, 429]
    files.declare("alice", requests_per_minute=1)
    assert (await complete(served, me)).status_code == 429


async def test_embeddings_use_their_tokens(served: Served, files: AccessFiles) -> None:
    """All of their prompt, and nothing else."""
    me = client(files, tokens_per_minute=100)
    body = {"model": MODEL, "input": ["four", "two"]}
    assert (await served.post("/v1/embeddings", body, **me)).status_code == 200
    assert remaining(await complete(served, me)) == 100 - 7 - 6


async def test_the_scheduler_is_fair_between_declared_clients(served: Served, files: AccessFiles) -> None:
    """Naming many users earns no larger share."""
    me = client(files)
    await complete(served, me, user="one")
    await complete(served, me, user="two")
    assert {request.client for request in served.engine.requests} == {"alice"}
