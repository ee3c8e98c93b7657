"""POST /v1/embeddings."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from genesis_stack.engine.interface import Usage
from genesis_stack.server.completions import Prompt, encoded, prompt_list
from genesis_stack.server.disconnect import unless_gone
from genesis_stack.server.endpoint import JsonResponse, body_of, served_of
from genesis_stack.server.errors import bad_request
from genesis_stack.server.exchange import exchange_of
from genesis_stack.server.guard.identifier import Identifier
from genesis_stack.server.guard.passage import Passage
from genesis_stack.server.json_body import ModelRequest


class EmbeddingRequest(ModelRequest):
    """The body, by OpenAI's names."""

    input: Prompt
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: Identifier | None = None

    def passages(self) -> Iterator[Passage]:
        """The inputs that are text: bounded like prompts, and not scored, since nothing follows them."""
        for text in prompt_list(self.input, param="input"):
            if isinstance(text, str):
                yield Passage(text, "input", trusted=True)

    def images(self) -> tuple[()]:
        """None: this endpoint takes text."""
        return ()


async def create_embeddings(request: Request) -> Response:
    """One vector an input, in order."""
    served = served_of(request)
    asked = await body_of(request, EmbeddingRequest)
    engine = served.engine
    if asked.dimensions not in {None, engine.info.n_embd}:
        raise bad_request(f"dimensions: this model's vectors have {engine.info.n_embd}.", param="dimensions")
    inputs = [
        await encoded(text, engine, param="input", parse_special=False)
        for text in prompt_list(asked.input, param="input")
    ]
    tokens = sum(map(len, inputs))
    exchange = exchange_of(request.scope)
    with nullcontext() if exchange.lease is None else exchange.lease.spending(tokens):
        vectors = await unless_gone(request.receive, engine.embed(inputs))
    exchange.usage = Usage(tokens, 0, 0)
    write = _base64 if asked.encoding_format == "base64" else list
    data = [
        {"object": "embedding", "index": index, "embedding": write(vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JsonResponse({"object": "list", "data": data, "model": served.config.model, "usage": usage})


def _base64(vector: Sequence[float]) -> str:
    """Little-endian 32-bit floats, as OpenAI's SDK reads them."""
    return base64.b64encode(array("f", vector).tobytes()).decode("ascii")
