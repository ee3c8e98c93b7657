"""What clients see of servers that stop, refuse, die or hang, and of a gateway that changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from waiting import eventually

from gateway.front import PATIENCE, Front, holding, in_front_of, one_by_one
from gateway.paced import Paced, serving

pytestmark = pytest.mark.prometheus
PLAIN = {"affinity": False}


async def lines_of(answer: httpx.Response) -> list[str]:
    """The events of a stream."""
    return [line async for line in answer.aiter_lines() if line]


async def unfinished(front: Front, sent: bytes) -> bytes:
    """What comes for the beginning of a request until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(sent)
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def renewed(front: Front) -> bool:
    """Whether a new connection is answered from the new configuration."""
    return "renewed" in (await front.http.get("/health", headers={"Connection": "close"})).text


async def test_a_draining_replica_gets_nothing_new_and_ends_what_it_has(tmp_path: Path) -> None:
    """Its stream goes on to the end while the other one does the work."""
    async with (
        serving(Paced("one"), Paced("two")) as (one, two),
        in_front_of(tmp_path, {"a": {"one": one, "two": two}}, gateway=PLAIN) as front,
    ):
        one.gate.clear()
        two.gate.clear()
        both = await one_by_one(front, (one, two), 2, stream=True, max_tokens=3)
        assert (one.running, two.running) == (1, 1)
        two.gate.set()
        one.health = 503
        await front.until("one", "DOWN")
        assert {await front.server_of("a") for _ in range(4)} == {"two"}
        one.gate.set()
        assert all(answer.text.endswith("[DONE]\n\n") for answer in await asyncio.gather(*both))
        one.health = 200
        await front.until("one", "UP")
        assert {await front.server_of("a") for _ in range(4)} == {"one", "two"}


async def test_a_server_s_own_refusal_arrives_as_it_was_given(tmp_path: Path) -> None:
    """It was asked once, whoever else could have answered: a signature is good once."""
    async with (
        serving(Paced("one", refuses=503), Paced("two", refuses=503)) as (one, two),
        in_front_of(tmp_path, {"a": {"one": one, "two": two}}) as front,
    ):
        answer = await front.chat("a")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "refused")
        assert len(one.asked) + len(two.asked) == 1


async def test_a_replica_that_is_gone_refuses_nobody(tmp_path: Path) -> None:
    """No connection, so nothing was sent: another one is asked at once."""
    async with (
        serving(Paced("one"), Paced("two")) as (one, two),
        in_front_of(tmp_path, {"a": {"one": one, "two": two}}, gateway=PLAIN) as front,
    ):
        await one.stop()
        assert [await front.server_of("a") for _ in range(6)] == ["two"] * 6
        await front.until("one", "DOWN")


async def test_what_a_server_had_begun_is_never_begun_by_another(tmp_path: Path) -> None:
    """It may have been that request which ended the server; the client is told, and may ask again."""
    async with serving(Paced("one"), Paced("two")) as (one, two):
        one.dies_after = two.dies_after = 0
        async with in_front_of(tmp_path, {"a": {"one": one, "two": two}}) as front:
            answer = await front.chat("a")
            assert answer.status_code == 502
            assert answer.json()["type"] == "error"
            assert answer.json()["error"]["code"] == "server_lost"
            assert int(answer.headers["retry-after"]) > 0
            assert len(one.asked) + len(two.asked) == 1


async def test_a_stream_whose_server_dies_ends_visibly_and_alone(tmp_path: Path) -> None:
    """Its client sees a broken answer, never one that only looks complete."""
    async with serving(Paced("one"), Paced("two")) as (one, two):
        one.dies_after = 2
        async with in_front_of(tmp_path, {"a": {"one": one, "two": two}}, gateway=PLAIN) as front:

            async def streamed() -> str:
                try:
                    answer = await front.chat("a", stream=True, max_tokens=5)
                except httpx.RemoteProtocolError:
                    return "broken"
                return answer.text[-8:]

            found = [await streamed() for _ in range(4)]
            assert sorted(set(found)) == ["[DONE]\n\n", "broken"]
            assert found.count("broken") == len(one.asked)


async def test_while_nobody_is_ready_requests_wait_at_an_open_port(tmp_path: Path) -> None:
    """A single server that restarts behind its open port refuses nobody, through the gateway as without."""
    server = Paced("one")
    async with serving(server), in_front_of(tmp_path, {"a": {"one": server}}) as front:
        server.health = 503
        await front.until("one", "DOWN")
        assert await front.server_of("a") == "one"


async def test_nobody_at_all_is_told_in_the_shape_of_the_api(tmp_path: Path) -> None:
    """503 with a time to come back."""
    server = Paced("one")
    async with serving(server), in_front_of(tmp_path, {"a": {"one": server}}) as front:
        await server.stop()
        await front.until("one", "DOWN")
        answer = await front.chat("a")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "overloaded_error")
        assert int(answer.headers["retry-after"]) > 0
        await server.start()
        await front.until("one", "UP")
        assert await front.server_of("a") == "one"


async def test_a_change_of_the_configuration_drops_no_stream(tmp_path: Path) -> None:
    """The old process ends its answer, the new one serves with the new configuration."""
    server = Paced("one")
    async with serving(server), in_front_of(tmp_path, {"a": {"one": server}}) as front:
        server.gate.clear()
        stream = asyncio.create_task(front.chat("a", stream=True, max_tokens=3))
        await holding([server], 1)
        front.reload(front.config.read_text().replace('"status": "ready"', '"status": "renewed"'))
        await eventually(lambda: renewed(front), seconds=PATIENCE, pause=0.05)
        assert not stream.done()
        server.gate.set()
        assert (await stream).text.endswith("[DONE]\n\n")
        assert await front.server_of("a") == "one"


async def test_a_client_that_does_not_finish_its_request_is_ended(tmp_path: Path) -> None:
    """In bounded time, with an answer, and no server has seen it."""
    server = Paced("one")
    async with serving(server), in_front_of(tmp_path, {"a": {"one": server}}) as front:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        sent = (head, head + b"content-length: 100\r\n\r\n{")
        without_a_head, without_a_body = await asyncio.gather(*(unfinished(front, one) for one in sent))
        assert without_a_head.startswith(b"HTTP/1.1 408 ")
        assert without_a_body.startswith(b"HTTP/1.1 408 ")
        assert b"request_timeout" in without_a_body
        assert not server.asked


async def test_a_key_has_its_limit_over_all_replicas_together(tmp_path: Path) -> None:
    """Before the servers count each for itself; another key is not touched by it."""
    clients = {"me": {"models": ["a"], "requests_per_minute": 5}}
    async with (
        serving(Paced("one"), Paced("two")) as (one, two),
        in_front_of(tmp_path, {"a": {"one": one, "two": two}}, clients=clients) as front,
    ):
        for fields in (
            {"Authorization": "Bearer gk_1"},
            {"x-api-key": "gk_2"},
            {"Signature-Input": 'genesis=("@method");created=1;nonce="@";keyid="k"', "Signature": "x"},
        ):
            nonces = [{name: value.replace("@", str(n)) for name, value in fields.items()} for n in range(7)]
            found = [(await front.chat("a", headers=one_of)).status_code for one_of in nonces]
            assert found == [200] * 5 + [429] * 2, fields
        answer = await front.chat("a", headers={"Authorization": "Bearer gk_1"})
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert int(answer.headers["retry-after"]) > 0
