"""The `traceparent` header: which trace a request belongs to (W3C Trace Context, level 1, section 3.2)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final, Self

TRACEPARENT: Final = "traceparent"
"""Sent with a request: the caller's trace and span."""

TRACERESPONSE: Final = "traceresponse"
"""Sent with an answer: the trace and span that it was recorded as (level 2, section 5)."""

_SAMPLED: Final = 0x01
_FORM: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span of a trace: ids in lower-case hex, 32 and 16 characters; `sampled`: somebody keeps it."""

    trace_id: str
    span_id: str
    sampled: bool

    @classmethod
    def parse(cls, header: str) -> Self | None:
        """The context that a header names; None if it is no `traceparent`, which is then ignored."""
        found = _FORM.fullmatch(header.strip())
        if found is None or (found[4] and header.startswith("00")):
            return None
        return cls(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))

    @classmethod
    def new(cls, *, sampled: bool = False) -> Self:
        """A trace of its own, from the operating system's randomness."""
        return cls(secrets.token_hex(16), secrets.token_hex(8), sampled)

    def header(self) -> str:
        """The value to send."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"
