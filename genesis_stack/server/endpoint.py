"""What endpoints have in common: the model behind them, the body in front, JSON on the way out."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from genesis_stack.server.errors import HttpError
from genesis_stack.server.exchange import exchange_of
from genesis_stack.server.guard.inspection import inspect
from genesis_stack.server.guard.passage import Prompting
from genesis_stack.server.json_body import Model, ModelRequest, read_json
from genesis_stack.server.served_model import ServedModel


class JsonResponse(Response):
    """An object as JSON."""

    media_type = "application/json"

    def __init__(
        self, content: object, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(to_json(content, inf_nan_mode="null"), status, headers)


def served_of(request: Request) -> ServedModel:
    """The model that this process serves."""
    served = request.app.served
    assert isinstance(served, ServedModel)  # noqa: S101 -- for the type checker
    return served


async def body_of(request: Request, model: type[Model]) -> Model:
    """The validated body, once the model is there to work on it; see `read_json`.

    The model stays in memory until the end of the exchange. What is wrong with the body is said at once, also
    while the model loads. Ignored fields are noted for the log and the metrics. Raises HttpError 404 for
    another model.
    """
    served = served_of(request)
    body = await read_json(request, model, limit=served.config.limits.max_body_bytes)
    exchange = exchange_of(request.scope)
    exchange.ignored_fields, exchange.asked = body.ignored, body.value
    if isinstance(body.value, ModelRequest):
        adapter_of(served, body.value.model)
    if isinstance(body.value, Prompting):
        await inspect(body.value, served.config.guard, exchange)
    await served.enter()
    exchange.entered = True
    return body.value


def adapter_of(served: ServedModel, asked: str) -> str:
    """The LoRA adapter that a model's name asks for, as in `model:adapter`; empty for the model alone.

    Raises HttpError 404 unless it is the model of this process, or one of its adapters.
    """
    names = served.names
    if asked not in names:
        raise HttpError(
            HTTPStatus.NOT_FOUND,
            f"This model is not served here; {', '.join(map(repr, names))} is.",
            code="model_not_found",
            param="model",
        )
    return names[asked]


def client_of(request: Request, user: str | None) -> str:
    """Whom the scheduler is fair between: the declared client, whatever `user` it names.

    Where none is declared, the peer's address, and its `user` where one is named.
    """
    exchange = exchange_of(request.scope)
    if exchange.client is not None:
        return exchange.client
    return exchange.peer if user is None else f"{exchange.peer}/{user}"


def new_id(prefix: str) -> str:
    """An id as OpenAI writes them, such as `chatcmpl-…`."""
    return f"{prefix}{secrets.token_hex(12)}"
