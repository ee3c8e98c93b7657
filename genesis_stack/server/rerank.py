"""POST /v1/rerank: documents in the order in which they answer a query; Jina's and Cohere's shape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Annotated, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from genesis_stack.engine.interface import Engine, Usage
from genesis_stack.server.disconnect import unless_gone
from genesis_stack.server.endpoint import JsonResponse, body_of, served_of
from genesis_stack.server.exchange import exchange_of
from genesis_stack.server.guard.identifier import Identifier
from genesis_stack.server.guard.passage import Passage
from genesis_stack.server.json_body import ModelRequest, StrictModel
from genesis_stack.server.shapes import Json

MAX_DOCUMENTS: Final = 1000
"""Documents of one request."""

Text = Annotated[str, Field(min_length=1)]


class Document(StrictModel):
    """A document as an object."""

    text: Text


class RerankRequest(ModelRequest):
    """The body; `top_n` keeps that many of the best."""

    query: Text
    documents: Annotated[list[Text | Document], Field(min_length=1, max_length=MAX_DOCUMENTS)]
    top_n: int | None = Field(None, ge=1)
    return_documents: bool | None = None
    user: Identifier | None = None

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [one if isinstance(one, str) else one.text for one in self.documents]

    def passages(self) -> Iterator[Passage]:
        """Bounded like prompts, and not scored, since nothing follows them."""
        yield Passage(self.query, "query", trusted=True)
        for number, text in enumerate(self.texts):
            yield Passage(text, f"documents[{number}]", trusted=True)

    def images(self) -> tuple[()]:
        """None: this endpoint takes text."""
        return ()


async def create_ranking(request: Request) -> Response:
    """The documents, best first; equal ones in the order given."""
    served = served_of(request)
    asked = await body_of(request, RerankRequest)
    engine = served.engine
    exchange = exchange_of(request.scope)
    texts = asked.texts
    tokens = await asyncio.to_thread(_count, engine, asked.query, texts)
    with nullcontext() if exchange.lease is None else exchange.lease.spending(tokens):
        ranking = await unless_gone(request.receive, engine.rank(asked.query, texts))
    exchange.usage = Usage(ranking.tokens, 0, 0)
    order = sorted(range(len(texts)), key=lambda index: -ranking.scores[index])[: asked.top_n]
    results = [
        _result(index, ranking.scores[index], texts[index] if asked.return_documents else None)
        for index in order
    ]
    usage = {"prompt_tokens": ranking.tokens, "total_tokens": ranking.tokens}
    return JsonResponse({"object": "list", "model": served.config.model, "results": results, "usage": usage})


def _count(engine: Engine, query: str, texts: Sequence[str]) -> int:
    """Tokens that will be read: the query is read with each document."""
    lengths = [len(engine.tokenize(text, add_special=True, parse_special=False)) for text in (query, *texts)]
    return len(texts) * lengths[0] + sum(lengths[1:])


def _result(index: int, score: float, text: str | None) -> Json:
    result: Json = {"index": index, "relevance_score": score}
    return result if text is None else {**result, "document": {"text": text}}
