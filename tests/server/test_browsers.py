"""Web pages call only where the stack names them; metrics are read only where it lets them."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import CHAT, Live, live

DECLARED = "https://chat.example.org"
FOREIGN = "https://evil.example"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    """A server of a stack that names no page."""
    with live(tmp_path_factory.mktemp("closed")) as server:
        yield server


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    """A server that one page may call."""
    with live(tmp_path_factory.mktemp("opened"), cors_origins=[DECLARED]) as server:
        yield server


def call(server: Live, **headers: str) -> httpx.Response:
    """A chat as a page sends it."""
    return httpx.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=headers)


def test_cors_is_closed(closed: Live) -> None:
    """No preflight succeeds and no answer may be read."""
    preflight = httpx.options(f"{closed.url}/v1/chat/completions", headers={"origin": DECLARED, **PREFLIGHT})
    assert preflight.status_code in {403, 405}
    assert not [name for name in preflight.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://127.0.0.1.evil.example", "http://[::", "x"])
def test_a_foreign_page_is_refused(closed: Live, origin: str) -> None:
    """Also one whose name was made to point here, which the browser takes for ours."""
    answer = call(closed, origin=origin)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "origin_not_allowed"
    assert "evil" not in answer.text


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:3000"])
def test_a_page_of_this_machine_may_call(closed: Live, origin: str) -> None:
    """Such as a user interface beside the server."""
    assert call(closed, origin=origin).status_code == 200


def test_a_declared_page_may_call_and_read(opened: Live) -> None:
    """Preflight, answer and refusal carry its permission; another page gets none."""
    preflight = httpx.options(f"{opened.url}/v1/chat/completions", headers={"origin": DECLARED, **PREFLIGHT})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == DECLARED
    answer = call(opened, origin=DECLARED)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == DECLARED
    missing = httpx.get(f"{opened.url}/nowhere", headers={"origin": DECLARED})
    assert missing.headers["access-control-allow-origin"] == DECLARED
    foreign = call(opened, origin=FOREIGN)
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "via"])
def test_metrics_are_not_for_those_behind_a_proxy(closed: Live, header: str) -> None:
    """Its connection comes from this machine; the request does not."""
    answer = httpx.get(f"{closed.url}/metrics", headers={header: "203.0.113.9"})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "local_only"
    assert httpx.get(f"{closed.url}/metrics").status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc"])
def test_documents_are_not_served_unless_declared(closed: Live, path: str) -> None:
    """Nor does anything tell that they could be."""
    assert httpx.get(f"{closed.url}{path}").status_code == 404


def test_documents_are_served_where_declared(tmp_path: Path) -> None:
    """The OpenAPI document, and a page that loads nothing from elsewhere."""
    with live(tmp_path, docs=True) as server:
        document: dict[str, Any] = httpx.get(f"{server.url}/openapi.json").json()
        assert document["openapi"].startswith("3.1")
        assert "/v1/chat/completions" in document["paths"]
        page = httpx.get(f"{server.url}/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "http" not in page.text.replace(server.url, "")
