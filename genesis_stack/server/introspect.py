"""What a server tells of itself: health, models, properties, slots, and its tokenizer."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from genesis_stack.engine.chat_template import CHATML
from genesis_stack.protocol.headers import RETRY_AFTER
from genesis_stack.server.completions import TokenId, encoded
from genesis_stack.server.endpoint import JsonResponse, adapter_of, body_of, served_of
from genesis_stack.server.json_body import StrictModel
from genesis_stack.server.locality import is_local
from genesis_stack.server.sampling import SamplingFields
from genesis_stack.server.served_model import RETRY_SOON_S, SERVING, ServedModel
from genesis_stack.server.shapes import Json


async def health(request: Request) -> Response:
    """200 while requests are served, by a model in memory or on its way there; 503 otherwise."""
    served = served_of(request)
    state = served.state
    body: Json = {"status": state.value, **_identity(served)}
    if (digest := request.app.door.access_digest) is not None:
        body["access_digest"] = digest
    if state in SERVING:
        return JsonResponse(body)
    if served.failure is not None and is_local(request.scope):  # it may name files of the host
        body["reason"] = served.failure[:400]
    return JsonResponse(body, HTTPStatus.SERVICE_UNAVAILABLE, {RETRY_AFTER: str(math.ceil(RETRY_SOON_S))})


async def list_models(request: Request) -> Response:
    """The model of this process, and it with each of its adapters."""
    served = served_of(request)
    return JsonResponse({"object": "list", "data": [_model(served, name) for name in served.names]})


async def retrieve_model(request: Request) -> Response:
    """The model by its name; HttpError 404 for others."""
    served = served_of(request)
    name = request.path_params["model"]
    adapter_of(served, name)
    return JsonResponse(_model(served, name))


async def props(request: Request) -> Response:
    """How the model is set up; llama-server's names where it has them."""
    served = served_of(request)
    info = served.info
    described = asdict(info)
    for hidden in ("control_tokens", "chat_template", "bos_text", "eos_text"):
        del described[hidden]
    defaults = SamplingFields(model=info.model).sampling(max_tokens=None)
    return JsonResponse(
        {
            "model_alias": info.model,
            "total_slots": info.n_parallel,
            "chat_template": info.chat_template or CHATML,
            "bos_token": info.bos_text,
            "eos_token": info.eos_text,
            "modalities": {"vision": info.sees, "audio": False},
            "default_generation_settings": {"n_ctx": info.n_context, "params": asdict(defaults)},
            "state": served.state.value,
            "engine": described,
            **_identity(served),
        }
    )


async def slots(request: Request) -> Response:
    """The sequences that are being worked on."""
    stats = served_of(request).stats()
    return JsonResponse([{"id": slot.slot, "is_processing": True, **asdict(slot)} for slot in stats.slots])


class TokenizeRequest(StrictModel):
    """The body of POST /tokenize, by llama-server's names."""

    content: str
    add_special: bool | None = None
    parse_special: bool | None = None


class DetokenizeRequest(StrictModel):
    """The body of POST /detokenize."""

    tokens: Annotated[list[TokenId], Field(max_length=1_000_000)]


async def tokenize(request: Request) -> Response:
    """Token ids of a text; control tokens in it count as such unless `parse_special` is false."""
    asked = await body_of(request, TokenizeRequest)
    tokens = await asyncio.to_thread(
        served_of(request).engine.tokenize,
        asked.content,
        add_special=bool(asked.add_special),
        parse_special=asked.parse_special is not False,
    )
    return JsonResponse({"tokens": tokens})


async def detokenize(request: Request) -> Response:
    """Text of token ids."""
    asked = await body_of(request, DetokenizeRequest)
    engine = served_of(request).engine
    tokens = await encoded(asked.tokens, engine, param="tokens") if asked.tokens else []
    return JsonResponse({"content": await asyncio.to_thread(engine.detokenize, tokens)})


def _identity(served: ServedModel) -> Json:
    return {
        "model": served.config.model,
        "model_digest": served.config.weights.sha256,
        "config_digest": served.config_digest,
    }


def _model(served: ServedModel, name: str) -> Json:
    body: Json = {
        "id": name,
        "object": "model",
        "created": served.created,
        "owned_by": "genesis-stack",
        "description": served.config.description,
    }
    if served.state not in SERVING:
        return body
    info = served.info
    body["meta"] = {
        "architecture": info.architecture,
        "n_vocab": info.n_vocab,
        "n_ctx": info.n_context,
        "n_ctx_train": info.n_context_train,
        "n_embd": info.n_embd,
        "n_params": info.n_params,
        "size": info.size_bytes,
    }
    return body
