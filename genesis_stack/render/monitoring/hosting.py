"""The built-in alerts about the host and about the watching itself."""

from __future__ import annotations

from typing import Final

from genesis_stack.render.monitoring.rule import (
    HOST_JOB,
    SHARE,
    Alarm,
    Body,
    Watched,
    always,
    number,
    show_share,
)
from genesis_stack.render.monitoring.serving import drifted


def _exporter_missing(on: Watched, _: float) -> Body:
    up = on.host_sample("up")
    servers = {Watched(on.stack, name, on.step).sample("up"): (1.0, 0.0) for name in on.stack.models}
    return Body(
        expr=f'absent(up{{job="{HOST_JOB}"}} == 1)',
        summary="nobody looks at the host",
        description="The exporter does not answer, so drift, restarts and changed model files go unseen.",
        fires={**servers, up: (0, 0)},
        silent=({**servers, up: (1, 0)},),
    )


def _apply_failed(on: Watched, _: float) -> Body:
    failed = on.host_sample("genesis_host_last_apply_failed")
    return Body(
        expr=f"max by (instance) ({on.host_metric('genesis_host_last_apply_failed')}) == 1",
        summary="the last apply failed",
        description="The stack that was asked for is not in force: see `genesis-stack history`.",
        fires={failed: (1, 0)},
        silent=({failed: (0, 0)},),
        labels={"instance": on.instance},
    )


def _disk(on: Watched, limit: float) -> Body:
    names = ("genesis_host_disk_free_bytes", "genesis_host_disk_size_bytes")
    free, size = (on.host_sample(name) for name in names)
    ratio = " / ".join(f"max by (instance) ({on.host_metric(name)})" for name in names)
    return Body(
        expr=f"{ratio} < {number(limit)}",
        summary="the disk of the model store is nearly full",
        description=f"{SHARE} of it are free; downloads, generations and metrics need room.",
        fires={free: (500 * limit, 0), size: (1000, 0)},
        silent=({free: (1000 * (1 + limit) / 2, 0), size: (1000, 0)},),
        shown=show_share(limit / 2),
        labels={"instance": on.instance},
    )


def _watchdog(_: Watched, __: float) -> Body:
    """Without a case in which it is silent: that it ends is for its receiver to notice."""
    return Body(
        expr="vector(1)",
        summary="the alerts work",
        description="It always fires; when its receiver no longer hears it, no other alert would be heard.",
        fires={},
        silent=(),
    )


HOSTING: Final = (
    Alarm("TargetMissing", "ticket", 300, always(0), _exporter_missing),
    Alarm("ApplyFailed", "ticket", 0, always(0), _apply_failed),
    Alarm("Drifted", "ticket", 600, always(0), drifted),
    Alarm("DiskFillingUp", "ticket", 900, always(0.1), _disk),
    Alarm("Watchdog", "info", 0, always(0), _watchdog),
)
