"""Clients of stand-in servers, and what all of their tests ask with."""

from __future__ import annotations

from typing import Any

from client.stand_in import MODEL, Answer, Reply
from genesis_stack.client import LocalLLMClient

ONCE = {"attempts": 1}
QUICK = {"initial": 0.01, "cap": 0.02}


def client_of(*endpoints: dict[str, Any], **settings: Any) -> LocalLLMClient:
    """A client that does not wait long between attempts."""
    return LocalLLMClient(**{"endpoints": endpoints, "retry": QUICK, **settings})


def at(url: str, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    """An endpoint."""
    return {"url": url, "model": model, **fields}


def always(reply: Reply) -> Answer:
    """The same answer to everything."""
    return lambda _: reply


async def read_all(client: LocalLLMClient, prompt: str, **options: Any) -> Any:
    """The result of a stream that was read to its end."""
    async with client.stream(prompt, **options) as stream:
        async for _ in stream:
            pass
    return stream.result


async def failing(client: LocalLLMClient, failure: Exception) -> None:
    """What a program does to a stream that it stops reading."""
    async with client.stream("Hi."):
        raise failure


async def replicas(client: LocalLLMClient) -> Any:
    """Every replica that the client knows."""
    session = client._session
    return (await session.dispatcher(session.deadline({}))).replicas.every()
