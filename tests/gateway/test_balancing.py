"""Which replica gets a request, and who waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from waiting import eventually

from gateway.front import PATIENCE, Front, in_front_of, one_by_one
from gateway.paced import Paced, serving

pytestmark = pytest.mark.prometheus
HOSTS = ("one", "two", "three")


def beginning(text: str) -> dict[str, object]:
    """A chat with this system prompt."""
    return {"messages": [{"role": "system", "content": text}, {"role": "user", "content": "Hello."}]}


async def waiting(front: Front, requests: int) -> None:
    """Wait until so many requests stand in the queue of model a."""
    line = f'haproxy_backend_current_queue{{proxy="model.a"}} {requests}\n'

    async def told() -> bool:
        return line in (await front.http.get(f"http://127.0.0.1:{front.metrics_port}/metrics")).text

    await eventually(told, seconds=PATIENCE, pause=0.05)


async def test_without_affinity_the_replica_with_the_fewest_requests_is_next(tmp_path: Path) -> None:
    """However alike they begin: while two are held, each goes to a free one."""
    async with serving(*map(Paced, HOSTS)) as servers:
        for server in servers:
            server.gate.clear()
        models = {"a": dict(zip(HOSTS, servers, strict=True))}
        async with in_front_of(tmp_path, models, gateway={"affinity": False}) as front:
            asking = await one_by_one(front, servers, 6)
            for server in servers:
                server.gate.set()
            assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
            assert [server.most for server in servers] == [2, 2, 2]


async def test_requests_that_begin_alike_go_to_one_replica(tmp_path: Path) -> None:
    """Whatever is asked after that, and in every form of a prompt; other beginnings use the others too."""
    async with (
        serving(*map(Paced, HOSTS)) as servers,
        in_front_of(tmp_path, {"a": dict(zip(HOSTS, servers, strict=True))}) as front,
    ):
        for text in ("You are terse.", "You are a pirate."):
            alike = {await front.server_of("a", **beginning(text), seed=seed) for seed in range(6)}
            assert len(alike) == 1
        parts = [{"role": "user", "content": [{"type": "text", "text": "You are terse."}]}]
        assert len({await front.server_of("a", messages=parts, seed=seed) for seed in range(6)}) == 1
        found = {await front.server_of("a", **beginning(f"You are number {n}.")) for n in range(40)}
        assert found == set(HOSTS)


async def test_when_a_replica_leaves_only_its_own_beginnings_move(tmp_path: Path) -> None:
    """What the others have read stays theirs; when it is back, it gets its own again."""
    async with (
        serving(*map(Paced, HOSTS)) as servers,
        in_front_of(tmp_path, {"a": dict(zip(HOSTS, servers, strict=True))}) as front,
    ):

        async def where() -> dict[int, str]:
            return {n: await front.server_of("a", **beginning(f"You are number {n}.")) for n in range(20)}

        before = await where()
        await servers[0].stop()
        await front.until("one", "DOWN")
        without = await where()
        assert {n: name for n, name in before.items() if name != "one"}.items() <= without.items()
        assert set(without.values()) == {"two", "three"}
        await servers[0].start()
        await front.until("one", "UP")
        assert await where() == before


async def test_a_beginning_that_everybody_sends_spills_over(tmp_path: Path) -> None:
    """No replica gets more than a quarter above the average while others have less to do."""
    async with serving(*(Paced(name, slots=8) for name in HOSTS)) as servers:
        for server in servers:
            server.gate.clear()
        async with in_front_of(tmp_path, {"a": dict(zip(HOSTS, servers, strict=True))}) as front:
            asking = await one_by_one(front, servers, 12, **beginning("All alike."))
            assert max(server.most for server in servers) <= 5
            for server in servers:
                server.gate.set()
            await asyncio.gather(*asking)


async def test_what_a_replica_cannot_take_waits_and_is_served_in_turn(tmp_path: Path) -> None:
    """A replica of two places is given four requests; the fifth waits."""
    server = Paced("one", slots=2)
    async with serving(server):
        server.gate.clear()
        model = {"engine": {"parallel": 2}}
        async with in_front_of(tmp_path, {"a": {"one": server}}, model=model) as front:
            asking = await one_by_one(front, [server], 4)
            asking += [asyncio.create_task(front.chat("a")) for _ in range(3)]
            await waiting(front, 3)
            assert server.most == 4
            server.gate.set()
            assert Counter(answer.status_code for answer in await asyncio.gather(*asking)) == {200: 7}
            assert server.most == 4


async def test_a_full_queue_is_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    """503 in the API's shape: clients know what to do with it."""
    server = Paced("one", slots=1)
    async with serving(server):
        server.gate.clear()
        model = {"engine": {"parallel": 1, "queue_requests": 2}}
        async with in_front_of(tmp_path, {"a": {"one": server}}, model=model) as front:
            asking = await one_by_one(front, [server], 2)
            asking += [asyncio.create_task(front.chat("a")) for _ in range(2)]
            await waiting(front, 2)
            refused = await front.chat("a")
            assert refused.status_code == 503
            error = refused.json()["error"]
            assert error.pop("message")
            assert error == {"type": "overloaded_error", "code": "queue_full", "param": None}
            assert int(refused.headers["retry-after"]) > 0
            server.gate.set()
            assert Counter(answer.status_code for answer in await asyncio.gather(*asking)) == {200: 4}


async def test_a_client_that_goes_away_frees_its_place(tmp_path: Path) -> None:
    """Who waits in the queue and leaves is never sent to a server."""
    server = Paced("one", slots=1)
    async with serving(server):
        server.gate.clear()
        model = {"engine": {"parallel": 1, "queue_requests": 1}}
        async with in_front_of(tmp_path, {"a": {"one": server}}, model=model) as front:
            asking = await one_by_one(front, [server], 2)
            leaving = asyncio.create_task(front.chat("a"))
            await waiting(front, 1)
            leaving.cancel()
            await waiting(front, 0)
            server.gate.set()
            await asyncio.gather(*asking)
            assert len(server.asked) == 2
