"""The engine's counters over all its lives: a model that left memory and came back goes on counting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from genesis_stack.engine.interface import Distribution, EngineState, EngineStats


def continued(now: EngineStats, past: EngineStats | None) -> EngineStats:
    """What is now, with the totals of `past` counted in."""
    if past is None:
        return now
    names = (field.name for field in fields(now) if field.name.endswith(("_total", "_times")))
    sums: dict[str, Any] = {name: _sum(getattr(now, name), getattr(past, name)) for name in names}
    return replace(now, **sums)


def at_rest(stats: EngineStats) -> EngineStats:
    """The same totals when nothing is loaded."""
    return replace(
        stats,
        state=EngineState.UNLOADED,
        requests_running=0,
        requests_waiting=0,
        waiting_prompt_tokens=0,
        kv_cells_used=0,
        slots=(),
    )


def _sum(now: Any, past: Any) -> Any:
    match now:
        case Distribution():
            counts = tuple(map(sum, zip(now.counts, past.counts, strict=True)))
            return Distribution(now.bounds, counts, now.sum + past.sum)
        case Mapping():
            return {key: now.get(key, 0) + past.get(key, 0) for key in {**past, **now}}
        case _:
            return now + past
