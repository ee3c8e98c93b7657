"""Whether a server, or a file, has the weights that were declared."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from genesis_stack.client.errors import IntegrityError, LocalLLMError
from genesis_stack.client.replicas import Replica
from genesis_stack.client.results import Health
from genesis_stack.client.transport import Exchange, Transport

_log = logging.getLogger("genesis_stack.client")


class Verifier:
    """Compares what `/health` reports with the declared digest.

    Before the first use of a server, and again whenever the fingerprint in its answers changes, before such
    an answer is handed out.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def before_use(self, replica: Replica, exchange: Exchange) -> None:
        """Raise IntegrityError unless the server has the declared weights, or none are declared."""
        if replica.endpoint.sha256 is not None and replica.verified is None:
            await self._verify(replica, exchange)

    async def after_answer(self, replica: Replica, exchange: Exchange, fingerprint: str | None) -> None:
        """The same once more if the server says that it runs something else than before."""
        if replica.endpoint.sha256 is not None and replica.verified != fingerprint:
            await self._verify(replica, exchange)

    async def _verify(self, replica: Replica, exchange: Exchange) -> None:
        question = replace(exchange, path="/health", body=None)
        health = health_of(await self._transport.probe(question), replica.url)
        if health.model_digest != replica.endpoint.sha256:
            replica.verified = None
            reported = "no digest" if health.model_digest is None else f"{health.model_digest[:16]}…"
            _log.error("weights of %s are not the declared ones", replica.url)
            raise IntegrityError(
                f"{replica.url} reports {reported} for {replica.model}, declared is "
                f"{(replica.endpoint.sha256 or '')[:16]}…",
                request_id=exchange.request_id,
                endpoint=replica.url,
                model=replica.model,
            )
        replica.verified = f"fp_{(health.config_digest or '')[:12]}"


async def health(transport: Transport, replica: Replica, deadline: float) -> Health:
    """What a server says of itself; a server that cannot be reached is `unreachable`, no error."""
    exchange = Exchange(replica.url, "/health", deadline, secrets.token_hex(16))
    try:
        return health_of(await transport.probe(exchange), replica.url)
    except LocalLLMError as failure:
        return Health(replica.url, "unreachable", replica.model, reason=type(failure).__name__)


def health_of(body: dict[str, Any], url: str) -> Health:
    """Read the answer of `/health`; llama-server's has no more than a status."""

    def text(name: str) -> str | None:
        value = body.get(name)
        return value if isinstance(value, str) else None

    return Health(
        endpoint=url,
        status=text("status") or "unknown",
        model=text("model"),
        model_digest=text("model_digest"),
        config_digest=text("config_digest"),
        reason=text("reason"),
    )


async def verify_file(path: str | Path, sha256: str) -> None:
    """Raise IntegrityError unless the file has this SHA-256; OSError if it cannot be read."""
    found = await asyncio.to_thread(_digest, Path(path))
    if found != sha256.lower():
        raise IntegrityError(f"{path} has the digest {found[:16]}…, declared is {sha256[:16]}…")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
