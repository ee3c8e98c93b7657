"""The door of a server: who comes in, and what is counted of it. What is behind it has a known caller."""

from __future__ import annotations

import time
from collections.abc import Collection
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.types import Receive, Scope

from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server.errors import HttpError, UnauthorizedError
from genesis_stack.server.exchange import Exchange
from genesis_stack.server.limits import LimitedError, Limits
from genesis_stack.server.locality import is_local

if TYPE_CHECKING:
    from genesis_stack.server.auth import Authenticator
    from genesis_stack.server.client_book import ClientBook

OPEN_PATHS: Final = frozenset({"/health"})
"""What tells a state and no secret; process managers and load balancers ask it without a key."""
LOCAL_PATHS: Final = frozenset({"/metrics"})
"""What this machine may ask without a key: its Prometheus has none."""


class Door:
    """Authentication and limits of one server; everything passes where no client is declared."""

    def __init__(self, config: ServeConfig) -> None:
        """Read who may call.

        Raises:
            AccessError: the files that say so cannot be used.
        """
        self._model = config.model
        self._limits = Limits()
        self._book: ClientBook | None = None
        self._authenticator: Authenticator | None = None
        if config.access is not None:
            from genesis_stack.server.auth import Authenticator
            from genesis_stack.server.client_book import ClientBook

            self._book = ClientBook(config.access.directory, config.secrets)
            self._authenticator = Authenticator(self._book, time.time())

    @property
    def access_digest(self) -> str | None:
        """The digest of the files in force, so that who changed one sees it arrive."""
        return None if self._book is None else self._book.access.digest

    @property
    def clients(self) -> Collection[str]:
        """Names of the declared clients."""
        return () if self._book is None else self._book.access.clients.keys()

    def enter(self, scope: Scope, receive: Receive, exchange: Exchange) -> Receive:
        """Let a request in; returns what its body is to be read from.

        Raises:
            HttpError: 401 nobody known, 403 not for this model, 429 too much, 503 to be signed again.
        """
        if self._authenticator is None or _is_open(scope):
            return receive
        caller = self._authenticator.caller(scope)
        exchange.client, exchange.key_id, exchange.policy = caller.name, caller.key_id, caller.policy
        if self._model not in caller.policy.models:
            raise HttpError(
                HTTPStatus.FORBIDDEN, "This key may not use the model served here.", code="model_not_allowed"
            )
        exchange.lease = self._limits.lease(caller.name, caller.policy)
        exchange.lease.begin()
        return caller.reads(receive)

    @staticmethod
    def note(error: HttpError, exchange: Exchange) -> None:
        """Write down what was refused, for the log and the metrics."""
        match error:
            case UnauthorizedError(scheme=scheme):
                exchange.auth_failure = scheme
            case LimitedError(limit=limit):
                exchange.limited = limit


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    return path in OPEN_PATHS or (path in LOCAL_PATHS and is_local(scope))
