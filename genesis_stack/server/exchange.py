"""One request and its response, as the log and the metrics see them."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from genesis_stack.engine.interface import Timings, Usage
from genesis_stack.protocol.headers import REQUEST_ID

if TYPE_CHECKING:
    from genesis_stack.protocol.access import ClientPolicy
    from genesis_stack.server.limits import Lease

SCOPE_KEY: Final = "genesis.exchange"

_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(slots=True)
class Exchange:
    """What becomes known while the request is served; times are `time.perf_counter()`.

    `client` is a declared client's name, `key_id` that of its key, `policy` what it may do and `lease` what
    this request holds of its limits, `auth_failure` what a request that proved none had shown (bearer,
    signature or none), `limited` the limit that refused it (requests, tokens or concurrent). `trace_id` is
    a W3C trace id, `sampled` whether its spans are kept.
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

    @classmethod
    def begin(cls, scope: Scope) -> Exchange:
        """Start the record of an HTTP scope and leave it there; see `exchange_of`."""
        given = HTTPConnection(scope).headers.get(REQUEST_ID, "")
        request_id = given if _WELL_FORMED.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        peer = scope["client"][0] if scope.get("client") else "local"
        exchange = cls(request_id, scope["method"], scope["path"], peer)
        scope[SCOPE_KEY] = exchange
        return exchange

    def note_output(self) -> None:
        """The first output is on its way."""
        if self.first_output is None:
            self.first_output = time.perf_counter()


def exchange_of(scope: Scope) -> Exchange:
    """The record that `Exchange.begin` left in the scope."""
    exchange = scope[SCOPE_KEY]
    assert isinstance(exchange, Exchange)  # noqa: S101 -- for the type checker
    return exchange
