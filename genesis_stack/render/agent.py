"""The agent of a followed stack as a service that runs once, and the timer that starts it.

The service does not start the agent where nothing has changed: its `ExecCondition=` is a program of a few
lines that costs a fraction of it. See systemd.service(5) and systemd.timer(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from genesis_stack.layout import Layout
from genesis_stack.render import sandbox
from genesis_stack.render.files import Runtime
from genesis_stack.render.unitfile import Directive, Section, exec_word, literal, path_word, seconds, unit
from genesis_stack.spec.gitops import GitOps
from genesis_stack.spec.model import Stack

AGENT: Final = "gitops.agent"
"""The name of the timer among the programs beside the servers; a dot keeps it apart from models."""
SERVICE: Final = "genesis-agent.service"
TIMER: Final = "genesis-agent.timer"
FIRST_LOOK: Final = 15.0
"""Seconds from a boot, or from the apply that installs the timer, until the first look."""
SPREAD: Final = 0.25
"""Share of the interval by which hosts are kept from asking the repository all at once."""
LONGEST: Final = 6 * 3600.0
"""Seconds after which a run that hangs is ended; a first download of many models may take hours."""
TASKS: Final = 256
UNLESS: Final = ("/bin/sh", "-c", '! "$0" "$@"')
"""Makes a command's success a failure, so that one which crashes, or is not there, holds nothing up."""
ENVIRONMENT: Final = "agent.env"
"""File below the configuration with variables for the agent; it may be absent."""
LOCKED: Final = 75
"""Exit status while somebody else is at work on the host: no failure."""


def agent_units(
    stack: Stack, layout: Layout, runtime: Runtime, *, about: str, target: str
) -> Iterator[tuple[str, str]]:
    """Name and text of each unit; none for a stack that follows nothing."""
    gitops = stack.gitops
    if gitops is None:
        return
    yield SERVICE, _service(stack, gitops, layout, runtime, about)
    yield TIMER, _timer(stack, gitops, about, target)


def _service(stack: Stack, gitops: GitOps, layout: Layout, runtime: Runtime, about: str) -> str:
    start = (
        Directive("Description", literal(f"Agent of {stack.name}, follows {gitops.branch}")),
        Directive("Wants", "network-online.target"),
        Directive("After", "network-online.target"),
    )
    root = ("--root", str(layout.root)) if layout.root is not None else ()
    run = (runtime.prefix / "bin/genesis-stack", "agent", "run-once", "--backend=systemd", *root)
    rest = PurePosixPath(layout.state) / "agent/rest"
    # No MemoryMax=: the agent asks its own control group what the host has.
    look = (*UNLESS, runtime.prefix / "bin/python", "-I", "-S", runtime.package / "gitops/rest.py", rest)
    environment = PurePosixPath(layout.config) / ENVIRONMENT
    service = (
        Directive("Type", "oneshot"),
        Directive("ExecCondition", _command(look), "skips the agent while nothing has changed"),
        Directive("EnvironmentFile", f"-{path_word(environment)}", "where the key for a canary's load is"),
        Directive("ExecStart", _command(run)),
        Directive("SuccessExitStatus", str(LOCKED), "somebody else is at work: the next run looks again"),
        Directive("TimeoutStartSec", seconds(LONGEST)),
        Directive("TasksMax", str(TASKS)),
        Directive("CPUWeight", "50", "half of what another service gets when all want more"),
        Directive("LimitCORE", "0"),
        *sandbox.changer(_writable(stack, layout)),
    )
    return unit(about, (Section("Unit", start), Section("Service", service)))


def _timer(stack: Stack, gitops: GitOps, about: str, target: str) -> str:
    start = (
        Directive("Description", literal(f"Looks at {gitops.branch} of {stack.name}")),
        Directive("PartOf", target),
    )
    timer = (
        Directive("OnActiveSec", seconds(FIRST_LOOK)),
        Directive("OnUnitInactiveSec", seconds(gitops.interval), "counted from the end of the last run"),
        Directive("RandomizedDelaySec", seconds(gitops.interval * SPREAD)),
        Directive("AccuracySec", "1s"),
    )
    install = (Directive("WantedBy", target),)
    return unit(about, (Section("Unit", start), Section("Timer", timer), Section("Install", install)))


def _command(words: tuple[str | PurePosixPath, ...]) -> str:
    return " ".join(exec_word(word) for word in words)


def _writable(stack: Stack, layout: Layout) -> tuple[str, ...]:
    """Where an apply writes: the system's configuration and state, and what a declared Prometheus reads."""
    places = [PurePosixPath(path) for path in (layout.config, layout.state, layout.run)]
    prometheus = stack.monitoring.prometheus
    if prometheus is not None:
        declared = (prometheus.rules_dir, prometheus.scrape_dir)
        places += [PurePosixPath(path) for path in declared if path is not None]
    above = tuple(map(PurePosixPath, ("/etc", "/run", "/var")))
    others = [place for place in places if not any(place.is_relative_to(one) for one in above)]
    return (*map(str, above), *(f"-{path_word(place)}" for place in others))
