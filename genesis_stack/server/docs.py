"""The OpenAPI document and a page to read it on, where the stack declares `http.docs`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server.endpoint import JsonResponse
from genesis_stack.server.openapi import document
from genesis_stack.server.shapes import Json

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
"""The page runs no script and loads nothing."""

_STYLE: Final = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "summary{cursor:pointer;padding:.3rem 0}pre{background:#8881;padding:1rem;overflow:auto}"
    "td{padding-right:1rem;vertical-align:top}:root{color-scheme:light dark}"
)


def docs_routes(config: ServeConfig) -> list[Route]:
    """/openapi.json and /docs."""
    described = document(config)
    page = _page(described)

    async def openapi(_request: Request) -> Response:
        """The document."""
        return JsonResponse(described)

    async def docs(_request: Request) -> Response:
        """The page."""
        return HTMLResponse(page, headers={"content-security-policy": POLICY})

    return [Route("/openapi.json", openapi), Route("/docs", docs)]


def _page(described: Json) -> str:
    title = escape(described["info"]["title"])
    operations = "".join(
        _section(method, path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(
        f"<details id='{escape(name)}'><summary>{escape(name)}</summary>"
        f"<pre>{escape(json.dumps(schema, indent=2))}</pre></details>"
        for name, schema in described["components"]["schemas"].items()
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{escape(described['info']['description'])} "
        f"<a href='openapi.json'>openapi.json</a></p>{operations}<h2>Schemas</h2>{schemas}</html>"
    )


def _section(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{status}<td>{escape(response['description'])}<td>{' '.join(_links(response))}"
        for status, response in operation["responses"].items()
    )
    asked = " ".join(_links(operation.get("requestBody", {})))
    body = f"<p>Body: {asked}</p>" if asked else ""
    return (
        f"<details><summary><b>{method.upper()}</b> {escape(path)}: {escape(operation['summary'])}</summary>"
        f"{body}<table>{rows}</table></details>"
    )


def _links(described: Mapping[str, Any]) -> Iterator[str]:
    """Links to the schemas of each content type."""
    for media_type, content in described.get("content", {}).items():
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        yield f"<a href='#{escape(name)}'>{escape(name)}</a>" if name else escape(media_type)
