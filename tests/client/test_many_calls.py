"""Batches and ensembles, against a server that records."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from waiting import eventually

from client.asking import ONCE, always, at, client_of, replicas
from client.stand_in import (
    Reply,
    Request,
    chat_reply,
    error_reply,
    stand_in,
)
from genesis_stack.client import (
    ConfigurationError,
    EnsembleError,
    UnavailableError,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")


async def test_the_majority_wins_and_the_judge_decides() -> None:
    """Whatever the case and the full stop; the judge sees answers without names."""

    def answer(request: Request) -> Reply:
        model = request.body["model"]
        if "response_format" in request.body:
            assert "left" not in json.dumps(request.body["messages"])
            return chat_reply('{"best": 2}')
        return chat_reply({"left": "Paris", "right": "paris.", "wrong": "Rome"}[model])

    async with stand_in(answer) as server:
        models = ["wrong", "left", "right"]
        async with client_of(*(at(server.url, model) for model in models)) as client:
            voted = await client.ensemble("Capital of France?", models)
            assert (voted.winner.text, voted.votes) == ("Paris", 2)
            judged = await client.ensemble("Capital of France?", models, strategy="best_of", judge="wrong")
            assert judged.winner.text == "Paris"
            good = await client.ensemble(
                "Capital?", models, strategy="first_good", accept=lambda answer: answer.text == "Rome"
            )
            assert good.winner.model == "wrong"
            with pytest.raises(EnsembleError, match="3 answers were not accepted"):
                await client.ensemble("Capital?", models, accept=lambda _: False)


async def test_a_model_that_fails_in_an_ensemble_only_loses_its_vote() -> None:
    """The others decide."""
    async with (
        stand_in(always(error_reply(500))) as broken,
        stand_in(always(chat_reply("Yes."))) as well,
        client_of(at(broken.url, "a"), at(well.url, "b"), retry=ONCE) as client,
    ):
        result = await client.ensemble("Well?", ["a", "b"])
        assert (result.winner.text, result.votes) == ("Yes.", 1)
        assert isinstance(result.answers[0], UnavailableError)


async def test_a_batch_is_bounded_and_cancellable() -> None:
    """No more than `concurrency` at a time; a cancelled batch leaves nothing behind."""
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sum(replica.outstanding for replica in await replicas(client)))
            await asyncio.sleep(0.005)

    slow = Reply(after=0.03, body=chat_reply().body)
    async with stand_in(always(slow)) as server, client_of(at(server.url)) as client:
        watcher = asyncio.create_task(watch())
        result = await client.complete_batch(["Hi."] * 12, concurrency=3)
        watcher.cancel()
        assert len(result.completions) == 12
        assert most == 3
        batch = asyncio.create_task(client.complete_batch(["Hi."] * 50, concurrency=5))
        await eventually(lambda: len(server.requests) > 12)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch


async def test_answers_of_a_batch_come_in_the_order_of_the_prompts() -> None:
    """Also when the last one is ready first."""

    def answer(request: Request) -> Reply:
        number = int(request.body["messages"][0]["content"])
        return replace(chat_reply(f"answer {number}"), after=0.05 - number * 0.01)

    async with stand_in(answer) as server, client_of(at(server.url)) as client:
        result = await client.complete_batch([str(number) for number in range(5)], concurrency=5)
    assert result.texts == tuple(f"answer {number}" for number in range(5))


async def test_a_bar_is_drawn_on_request_and_not_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, so that stdout stays data."""
    async with stand_in(always(chat_reply())) as server, client_of(at(server.url)) as client:
        await client.complete_batch(["Hi."] * 2)
        assert capsys.readouterr().err == ""
        await client.complete_batch(["Hi."] * 2, progress=True)
    captured = capsys.readouterr()
    assert "2/2" in captured.err
    assert captured.out == ""


async def test_a_batch_without_workers_is_an_error() -> None:
    """Instead of nothing at all."""
    async with stand_in(always(chat_reply())) as server, client_of(at(server.url)) as client:
        with pytest.raises(ConfigurationError, match="concurrency"):
            await client.complete_batch(["Hi."], concurrency=0)
