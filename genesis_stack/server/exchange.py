"""One request and its response, as the log and the metrics see them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.types import Scope

from genesis_stack.engine.interface import SamplingParams, Timings, Usage
from genesis_stack.protocol.headers import REQUEST_ID, REQUEST_ID_FORM
from genesis_stack.protocol.trace_context import TraceContext
from genesis_stack.server.errors import CLIENT_CLOSED_REQUEST
from genesis_stack.server.guard.verdict import Verdict

if TYPE_CHECKING:
    from genesis_stack.protocol.access import ClientPolicy
    from genesis_stack.server.limits import Lease

SCOPE_KEY: Final = "genesis.exchange"

POLLED_PATHS: Final = frozenset({"/health", "/metrics"})
"""Asked every few seconds: their successes are logged at debug level only, and have no spans."""


@dataclass(slots=True)
class Exchange:
    """What becomes known while the request is served; times are `time.perf_counter()`.

    `client` is a declared client's name, `key_id` that of its key, `policy` what it may do and `lease` what
    this request holds of its limits, `auth_failure` what a request that proved none had shown (bearer,
    signature or none), `limited` the limit that refused it (requests, tokens or concurrent). `trace_id` is
    a W3C trace id, `sampled` whether its spans are kept. `asked` is the validated body, `submitted` when the
    engine had it; `entered` whether it keeps the model in memory; `answers` collects the texts of the
    choices, where the stack wants content kept.
    """

    request_id: str
    method: str
    path: str
    peer: str
    trace_id: str = ""
    sampled: bool = False
    started: float = field(default_factory=time.perf_counter)
    route: str | None = None
    status: int | None = None
    first_output: float | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    finish: str | None = None
    error: str | None = None
    ignored_fields: tuple[str, ...] = ()
    client: str | None = None
    key_id: str | None = None
    policy: ClientPolicy | None = None
    lease: Lease | None = None
    auth_failure: str | None = None
    limited: str | None = None
    guard: Verdict | None = None
    asked: BaseModel | None = None
    sampling: SamplingParams | None = None
    submitted: float | None = None
    answers: dict[int, list[str]] | None = None
    entered: bool = False

    @classmethod
    def begin(cls, scope: Scope, trace: TraceContext, *, keeps_content: bool = False) -> Exchange:
        """Start the record of an HTTP scope and leave it there; see `exchange_of`.

        The trace's id names the request too, unless the client has a well-formed name for it.
        """
        given = HTTPConnection(scope).headers.get(REQUEST_ID, "")
        request_id = given if REQUEST_ID_FORM.fullmatch(given) else trace.trace_id
        peer = scope["client"][0] if scope.get("client") else "local"
        exchange = cls(request_id, scope["method"], scope["path"], peer, trace.trace_id, trace.sampled)
        exchange.answers = {} if keeps_content else None
        scope[SCOPE_KEY] = exchange
        return exchange

    @property
    def answered(self) -> int:
        """The status that was sent, or 499 for a client that left."""
        return CLIENT_CLOSED_REQUEST if self.status is None else self.status

    @property
    def outcome(self) -> int:
        """The status that tells how it ended: as answered, but 500 if a stream broke after its head."""
        broke = self.error is not None and self.answered == HTTPStatus.OK
        return HTTPStatus.INTERNAL_SERVER_ERROR if broke else self.answered

    def note_output(self) -> None:
        """The first output is on its way."""
        if self.first_output is None:
            self.first_output = time.perf_counter()


def exchange_of(scope: Scope) -> Exchange:
    """The record that `Exchange.begin` left in the scope."""
    exchange = scope[SCOPE_KEY]
    assert isinstance(exchange, Exchange)  # noqa: S101 -- for the type checker
    return exchange
