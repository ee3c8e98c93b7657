"""The HTTP side of the dashboard, over a host on which nothing is applied."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from genesis_stack.cli.dashboard import _serve
from genesis_stack.dashboard.app import HEADERS, app
from genesis_stack.dashboard.monitors import Monitors
from genesis_stack.dashboard.watch import Watch
from genesis_stack.layout import Layout
from genesis_stack.reconcile.generations import Generations


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which looks at an empty tree and at a Prometheus that is not there."""
    watch = Watch(Generations(Layout.under(tmp_path)), Monitors("http://127.0.0.1:9", None))
    looking = asyncio.create_task(watch.run())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app(watch)), base_url="http://127.0.0.1:8090"
    ) as http:
        yield http
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking


@pytest.mark.parametrize("host", ["localhost", "localhost:8090", "127.0.0.1:1234", "[::1]:8090", "LOCALHOST"])
async def test_this_machine_may_be_named_at_any_port(http: httpx.AsyncClient, host: str) -> None:
    """A tunnel ends at another port than it began."""
    assert (await http.get("/", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8090",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "127.0.0.2",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/view", "/api/past", "/api/live"])
async def test_a_name_that_was_bound_to_loopback_gets_nothing(
    http: httpx.AsyncClient, host: str, path: str
) -> None:
    """DNS rebinding: the browser believes that this is somebody else's site, and says so."""
    answer = await http.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "generation" not in answer.text


async def test_two_host_headers_are_one_too_many(http: httpx.AsyncClient) -> None:
    """Whichever is meant."""
    answer = await http.get("/api/view", headers=[("Host", "localhost"), ("Host", "evil.example")])
    assert answer.status_code == 421


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/api/view", "/nothing"])
async def test_every_answer_keeps_to_itself(http: httpx.AsyncClient, path: str) -> None:
    """No framing, no foreign code, no other origin, no cache; errors too."""
    answer = await http.get(path, headers={"Origin": "http://evil.example"})
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_written(http: httpx.AsyncClient, method: str) -> None:
    """There is no path that takes anything."""
    for path in ("/", "/api/view", "/api/past", "/api/live"):
        assert (await http.request(method, path)).status_code == 405


async def test_a_host_without_a_stack_is_shown_as_such(http: httpx.AsyncClient) -> None:
    """No generation, no models, no fault."""
    view = json.loads((await http.get("/api/view")).text)
    assert (view["generation"], view["models"], view["problems"]) == (None, [], [])


async def test_a_prometheus_that_does_not_answer_is_named(http: httpx.AsyncClient) -> None:
    """With its address and the reason; its plots are refused with the same."""
    view = (await http.get("/api/view")).json()
    named, _, reason = view["alerts"]["problem"].partition("http://127.0.0.1:9: ")
    past = await http.get("/api/past", params={"span": "24h"})
    assert named.startswith("Prometheus")
    assert reason
    assert (past.status_code, reason in past.text) == (502, True)


async def test_an_unknown_span_is_refused_with_those_there_are(http: httpx.AsyncClient) -> None:
    """It never becomes part of a query."""
    answer = await http.get("/api/past", params={"span": "1y"})
    assert answer.status_code == 400
    assert all(word in answer.text for word in ("span", "6h", "24h", "7d"))
    assert "1y" not in answer.text


async def test_when_looking_fails_nothing_is_served_any_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old numbers would pass for health."""

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    watch = Watch(Generations(Layout.under(tmp_path)), Monitors(None, None))
    monkeypatch.setattr(watch, "_look", fail)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(ExceptionGroup) as ended:
            await asyncio.wait_for(_serve(app(watch), watch, listener), 30)
        assert ended.group_contains(ZeroDivisionError)
