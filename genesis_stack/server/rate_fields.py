"""Response fields that tell a client how much it has left.

`x-ratelimit-*` are those of OpenAI's API; `RateLimit` and `RateLimit-Policy` those of the IETF's
draft-ietf-httpapi-ratelimit-headers, version 8 and later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

WINDOW: Final = 60
"""Seconds that a quota is for."""


@dataclass(frozen=True, slots=True)
class Level:
    """A bucket: what it holds when full, what it has, and in how many seconds it is full again."""

    limit: int
    remaining: int
    reset: float


def rate_fields(requests: Level, tokens: Level) -> list[tuple[bytes, bytes]]:
    """Fields as ASGI takes them."""
    policies, levels, fields = [], [], []
    for name, level in (("requests", requests), ("tokens", tokens)):
        policies.append(f'"{name}";q={level.limit};w={WINDOW}')
        levels.append(f'"{name}";r={level.remaining};t={math.ceil(level.reset)}')
        fields += [
            (f"x-ratelimit-limit-{name}", str(level.limit)),
            (f"x-ratelimit-remaining-{name}", str(level.remaining)),
            (f"x-ratelimit-reset-{name}", duration(level.reset)),
        ]
    fields += [("ratelimit-policy", ", ".join(policies)), ("ratelimit", ", ".join(levels))]
    return [(name.encode(), value.encode()) for name, value in fields]


def duration(seconds: float) -> str:
    """As OpenAI writes it: `120ms`, `7.66s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 2), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
