"""The gateway and the programs that watch, in a plan and in its execution: they come last."""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from genesis_stack.backends import Backend, Desired, Monitor, ObservedService, Phase, Reader, samples
from genesis_stack.backends.probe import REQUEST_SECONDS
from genesis_stack.errors import GenesisError
from genesis_stack.reconcile.steps import Action, Step
from genesis_stack.spec.addresses import from_here

ABSENT: Final = ObservedService(Phase.ABSENT)
RUNS: Final = frozenset({Phase.RUNNING, Phase.STARTING})
DEADLINE: Final = 60.0
"""Seconds until one that does not answer, or has not taken its configuration, counts as failed."""
POLL_SECONDS: Final = 0.1
LOG_LINES: Final = 10
LOADED: Final = "_config_last_reload_successful"
LOADED_AT: Final = ("_config_last_reload_success_timestamp_seconds", "haproxy_process_start_time_seconds")
"""What Prometheus and Alertmanager say of their configuration, each below its own name; of HAProxy a new
process reads it."""

Seen = Mapping[str, ObservedService]


class MonitorError(GenesisError):
    """A program that watches did not start, or refuses its configuration."""


def stopped(
    before: Desired, after: Desired, seen: Seen, touched: set[PurePosixPath], strange: Mapping[str, str]
) -> dict[str, str]:
    """Those that must stop first, with the reason; `strange` says what somebody else changed of whom."""
    found = {name: "no longer in the stack" for name in before.monitors if name not in after.monitors}
    for name, monitor in after.monitors.items():
        changed = _changed(monitor.restart_on, touched) or strange.get(name, "")
        if changed and not monitor.steady and seen.get(name, ABSENT).phase in RUNS:
            found[name] = changed
    return found


def _changed(files: Iterable[PurePosixPath], touched: set[PurePosixPath]) -> str:
    names = sorted(path.name for path in touched & set(files))
    return f"{', '.join(names)} changes" if names else ""


def steps(
    after: Desired,
    seen: Seen,
    touched: set[PurePosixPath],
    gone: Mapping[str, str],
    strange: Mapping[str, str],
) -> Iterator[Step]:
    """Starts and reloads, in the order in which they are needed; the gateway is never stopped before."""
    for name, monitor in after.monitors.items():
        one = seen.get(name, ABSENT)
        changes = _changed(monitor.restart_on, touched) or strange.get(name, "")
        anew = gone.get(name) or (monitor.steady and one.phase in RUNS and changes)
        if anew or one.phase not in RUNS or not one.enabled:
            where = f"listens on {monitor.host}:{monitor.port}" if monitor.ports else "looks by itself"
            reason = anew or ("new" if one.phase is Phase.ABSENT else f"it is {one.phase}")
            yield Step(Action.START_MONITOR, name, reason, consequence=where)
        elif changed := _changed(monitor.reload_on, touched):
            yield Step(Action.RELOAD_MONITOR, name, changed, consequence="without a gap")


def told(reader: Reader | None, touched: set[PurePosixPath]) -> Iterator[Step]:
    """The step for a Prometheus that runs already, when a file that it reads was changed or removed."""
    changed = sorted(path.name for path in touched & set(reader.files)) if reader else []
    if reader and changed:
        yield Step(Action.TELL, reader.url, f"{', '.join(changed)} changes")


def tell(url: str) -> str:
    """POST to a program of somebody else's; what went wrong, or nothing.

    It is no reason to turn back: the files are in place, and are read when the program starts again.
    """
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=DEADLINE):  # noqa: S310 -- the stack takes only http and https
            return ""
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error}; it reads the new files when it is reloaded or started again"


def carry_out(step: Step, monitor: Monitor, backend: Backend) -> None:
    """Start or reload one, and wait until it has its configuration.

    Raises:
        MonitorError: it does not answer in time, or refuses what it was given.
    """
    asked = time.time()
    if step.action is Action.START_MONITOR:
        backend.start_monitor(monitor)
    else:
        backend.reload_monitor(monitor)
    deadline = time.monotonic() + DEADLINE
    while monitor.ports and not loaded(read(monitor), asked):
        if time.monotonic() > deadline:
            said = "".join(f"\n  {line}" for line in backend.log_tail(monitor.name, LOG_LINES)[-LOG_LINES:])
            raise MonitorError(f"{monitor.name}: has not taken its configuration after {DEADLINE:g} s{said}")
        time.sleep(POLL_SECONDS)


def loaded(metrics: Mapping[str, float] | None, since: float) -> bool:
    """Whether it answers, and has taken a configuration since then; one without any only has to answer."""
    if metrics is None:
        return False
    good = [value for name, value in metrics.items() if name.endswith(LOADED)]
    when = [value for name, value in metrics.items() if name.endswith(LOADED_AT)]
    return all(good) and all(moment >= int(since) for moment in when)


def read(monitor: Monitor) -> dict[str, float] | None:
    """Its own metrics; None while it does not answer."""
    host, port = from_here(monitor.host), monitor.port
    if monitor.metrics_port is not None:
        host, port = "127.0.0.1", monitor.metrics_port
    return samples.ask(http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS))
