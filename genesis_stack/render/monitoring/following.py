"""The built-in alerts about the agent of a host; none for a stack that follows no branch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from genesis_stack.render.monitoring.rule import SECONDS, Alarm, Body, Watched, number, show_seconds

SILENT_SECONDS: Final = 900.0
SILENT_LOOKS: Final = 10
"""Time, or looks, without any sign of the agent until somebody is told, whichever is more."""
_LOOKED: Final = "genesis_agent_last_look_timestamp_seconds"


def _follows(on: Watched) -> float | None:
    return None if on.stack.gitops is None else 0.0


def _patience(on: Watched) -> float | None:
    gitops = on.stack.gitops
    return None if gitops is None else max(SILENT_SECONDS, SILENT_LOOKS * gitops.interval)


def _flag(metric: str, bad: int, summary: str, description: str) -> Callable[[Watched, float], Body]:
    """An alert on a metric that is 0 or 1."""

    def build(on: Watched, _: float) -> Body:
        return Body(
            expr=f"max by (instance) ({on.host_metric(metric)}) == {bad}",
            summary=summary,
            description=description,
            fires={on.host_sample(metric): (bad, 0)},
            silent=({on.host_sample(metric): (1 - bad, 0)},),
            labels={"instance": on.instance},
        )

    return build


def _silent(on: Watched, limit: float) -> Body:
    """A suspended agent that looks no more has its own alert."""
    suspended = "genesis_agent_suspended"
    awake = f"max by (instance) ({on.host_metric(suspended)}) == 0"
    long_ago = -limit * 100
    return Body(
        expr=f"max by (instance) (time() - {on.host_metric(_LOOKED)}) > {number(limit)} and {awake}",
        summary="the agent does not look at its branch",
        description=f"Its last look is {SECONDS} old: its timer is stopped, or no run comes to its end.",
        fires={on.host_sample(_LOOKED): (long_ago, on.step), on.host_sample(suspended): (0, 0)},
        silent=(
            {on.host_sample(_LOOKED): (0, on.step), on.host_sample(suspended): (0, 0)},
            {on.host_sample(_LOOKED): (long_ago, on.step), on.host_sample(suspended): (1, 0)},
        ),
        shown=show_seconds(-long_ago),
        labels={"instance": on.instance},
    )


FOLLOWING: Final = (
    Alarm(
        "RevisionRefused",
        "page",
        0,
        _follows,
        _flag(
            "genesis_agent_revision_refused",
            1,
            "the branch holds what must not be followed",
            "A commit is not signed by anyone whom the host allows, or the branch was moved: see "
            "`genesis-stack agent status`.",
        ),
    ),
    Alarm(
        "RevisionFailed",
        "ticket",
        0,
        _follows,
        _flag(
            "genesis_agent_last_apply_failed",
            1,
            "the branch's revision could not be brought into force",
            "What served before serves on; the next revision is tried: see `genesis-stack agent status`.",
        ),
    ),
    Alarm(
        "AgentFetchFailed",
        "ticket",
        900,
        _follows,
        _flag(
            "genesis_agent_last_fetch_failed",
            1,
            "the repository cannot be reached",
            "The host serves on as it is and learns of no new revision.",
        ),
    ),
    Alarm("AgentSilent", "ticket", 0, _patience, _silent),
    Alarm(
        "AgentOutOfSync",
        "ticket",
        3600,
        _follows,
        _flag(
            "genesis_agent_sync",
            0,
            "the branch's revision is not in force",
            "For an hour what runs has not been what the branch holds: it waits, failed, or was replaced.",
        ),
    ),
    Alarm(
        "AgentSuspended",
        "info",
        3600,
        _follows,
        _flag(
            "genesis_agent_suspended",
            1,
            "the agent is suspended",
            "Nothing new is followed and nothing is healed until `genesis-stack agent resume`.",
        ),
    ),
)
