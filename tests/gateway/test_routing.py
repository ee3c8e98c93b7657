"""Which server gets a request, and what it sees of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from gateway.front import PATIENCE, Front, in_front_of
from gateway.paced import Paced, serving

pytestmark = pytest.mark.prometheus
ADAPTED = {"adapters": {"fr": {"source": "hf://o/m/fr.gguf", "sha256": "1" * 64}}}


@pytest.fixture
def servers() -> tuple[Paced, Paced]:
    """One server of model a, one of model b."""
    return Paced("a"), Paced("b")


@pytest.fixture
async def front(tmp_path: Path, servers: tuple[Paced, Paced]) -> AsyncGenerator[Front]:
    """A gateway before both."""
    async with serving(*servers) as (a, b):
        models = {"a": {"one": a}, "b": {"one": b}}
        async with in_front_of(tmp_path, models, model=ADAPTED) as front:
            yield front


async def test_the_model_is_found_wherever_it_stands_in_the_body(front: Front) -> None:
    """Behind half a megabyte of messages too, as the official client writes it."""
    assert await front.server_of("b") == "b"
    long = {"messages": [{"role": "user", "content": "x" * 500_000}], "stream": False, "model": "b"}
    answer = await front.http.post("/v1/chat/completions", json=long)
    assert answer.json()["server"] == "b"


async def test_an_adapter_is_asked_for_at_its_model(front: Front) -> None:
    """By `model:adapter`, as at the server itself."""
    assert await front.server_of("a:fr") == "a"
    assert (await front.http.get("/v1/models/a:fr")).json()["server"] == "a"
    assert (await front.http.get("/v1/models/b")).json()["server"] == "b"


async def test_a_request_without_a_body_can_name_its_model_in_the_query(front: Front) -> None:
    """For what has no model in its body, such as /tokenize."""
    for name in ("a", "b", "a"):
        assert (await front.http.get(f"/props?model={name}")).json()["server"] == name


async def test_what_is_signed_passes_untouched(front: Front, servers: tuple[Paced, Paced]) -> None:
    """Method, target, Host, body and every field arrive as they were sent; one says who asked."""
    body = b'{ "model":"a",\n "messages" : [ ], "x": "\\u00e9" }'
    fields = {
        "Host": "models.example.org:8443",
        "Authorization": "Bearer gk_x",
        "Content-Type": "application/json",
        "Content-Digest": "sha-256=:AAAA=:",
        "Signature-Input": 'genesis=("@method" "@path");created=1;nonce="n";keyid="k"',
        "Signature": "genesis=:AAAA=:",
    }
    await front.http.post("/v1/chat/completions?x=%41&y=b%20c", content=body, headers=fields)
    asked = servers[0].asked[-1]
    assert (asked.method, asked.target, asked.body) == ("POST", "/v1/chat/completions?x=%41&y=b%20c", body)
    assert {name: asked.fields[name.lower()] for name in fields} == fields
    assert asked.fields["x-forwarded-for"] == "127.0.0.1"


async def test_the_list_names_every_model(front: Front) -> None:
    """Adapters too, in the shape in which a server lists its own."""
    listed = (await front.http.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [one["id"] for one in listed["data"]] == ["a", "a:fr", "b", "b:fr"]
    assert {one["object"] for one in listed["data"]} == {"model"}


async def test_the_list_is_for_callers_whom_a_server_knows(
    front: Front, servers: tuple[Paced, Paced]
) -> None:
    """401 stays 401; a caller who may use another model than that server's sees the list all the same."""
    for server in servers:
        server.refuses = 401
    assert (await front.http.get("/v1/models")).status_code == 401
    for server in servers:
        server.refuses = 403
    assert (await front.http.get("/v1/models")).status_code == 200


async def test_a_model_that_nobody_has_is_not_found(front: Front, servers: tuple[Paced, Paced]) -> None:
    """Once a server has seen who asks; the answer names what there is."""
    for server in servers:
        server.refuses = 404
    answer = await front.chat("c")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert "a, a:fr, b, b:fr" in answer.json()["error"]["message"]
    for server in servers:
        server.refuses = 401
    assert (await front.chat("c")).status_code == 401


async def test_metrics_of_servers_are_not_for_those_outside(
    front: Front, servers: tuple[Paced, Paced]
) -> None:
    """And the gateway's own are on loopback alone."""
    answer = await front.http.get("/metrics")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert not servers[0].asked
    assert not servers[1].asked
    metrics = await front.http.get(f"http://127.0.0.1:{front.metrics_port}/metrics")
    assert "haproxy_backend_current_queue" in metrics.text


async def test_health_says_whether_anything_is_ready(front: Front, servers: tuple[Paced, Paced]) -> None:
    """For what stands before the gateway."""
    assert (await front.http.get("/health")).json() == {"status": "ready"}
    for server in servers:
        server.health = 503
    await front.until("one", "DOWN", "a")
    await front.until("one", "DOWN", "b")
    answer = await front.http.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})


async def test_a_body_beyond_the_largest_limit_is_refused_unread(
    front: Front, servers: tuple[Paced, Paced]
) -> None:
    """With the API's error shape, from its announced length alone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"}}")
    writer.close()
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["error"]["code"] == "request_too_large"
    assert not servers[0].asked


async def test_browsers_may_read_the_list(tmp_path: Path, servers: tuple[Paced, Paced]) -> None:
    """A page whose origin the server has allowed gets the list with the server's word for it."""
    async with (
        serving(*servers) as (a, b),
        in_front_of(
            tmp_path,
            {"a": {"one": a}, "b": {"one": b}},
            http={"cors_origins": ["https://chat.example.org"]},
        ) as front,
    ):
        for server in servers:
            server.more = b"access-control-allow-origin: https://chat.example.org\r\n"
        answer = await front.http.get("/v1/models")
        assert answer.headers["access-control-allow-origin"] == "https://chat.example.org"
        assert len(answer.json()["data"]) == 2


async def test_a_chunked_body_is_read_as_well(front: Front, servers: tuple[Paced, Paced]) -> None:
    """A client that does not know its length yet."""

    async def pieces() -> AsyncGenerator[bytes]:
        yield b'{"messages": [], '
        yield b'"model": "b"}'

    answer = await front.http.post("/v1/chat/completions", content=pieces())
    assert answer.json()["server"] == "b"
    assert json.loads(servers[1].asked[-1].body)["model"] == "b"
