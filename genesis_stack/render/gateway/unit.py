"""The gateway as a systemd unit, confined to TCP and to its own configuration.

Its master process stays: a reload starts a new worker, and the old one goes on with the answers that it has
begun (HAProxy's Management Guide, "Stopping and restarting HAProxy").
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from genesis_stack.layout import Layout
from genesis_stack.render import sandbox
from genesis_stack.render.monitoring.programs import Program
from genesis_stack.render.unitfile import Directive, Section, exec_word, literal, path_word, unit

OPEN_FILES: Final = 16_384
"""Two for each connection, and as many for an old worker beside the new one."""
TASKS: Final = 64
PRIVILEGED: Final = 1024
"""Ports below it are root's, or need CAP_NET_BIND_SERVICE (capabilities(7))."""
STOP_SECONDS: Final = 30


def gateway_unit(program: Program, layout: Layout, about: str, target: str) -> str:
    """The unit file of the gateway."""
    start = (
        Directive("Description", literal(program.title)),
        Directive("PartOf", target),
        Directive("After", "network-online.target"),
        Directive("Wants", "network-online.target"),
        Directive("StartLimitIntervalSec", "0", "what everybody comes through must not give up"),
    )
    service = (*_process(program), *_limits(program), *_confinement(program, layout))
    install = (Directive("WantedBy", target),)
    sections = (Section("Unit", start), Section("Service", service), Section("Install", install))
    return unit(about, sections)


def _process(program: Program) -> tuple[Directive, ...]:
    return (
        Directive("Type", "notify"),
        Directive("ExecStart", " ".join(exec_word(word) for word in program.argv)),
        Directive("ExecReload", "/bin/kill -USR2 $MAINPID", "a new worker; the old one ends its answers"),
        Directive("KillMode", "mixed"),
        Directive("KillSignal", "SIGUSR1", "answers are finished first"),
        Directive("TimeoutStopSec", f"{STOP_SECONDS}s"),
        Directive("SuccessExitStatus", "143"),
        Directive("Restart", "always"),
        Directive("RestartSec", "1s"),
    )


def _limits(program: Program) -> tuple[Directive, ...]:
    return (
        Directive("MemoryMax", str(program.memory)),
        Directive("MemorySwapMax", "0"),
        Directive("CPUWeight", "200", "it works for microseconds and everybody waits for it"),
        Directive("TasksMax", str(TASKS)),
        Directive("LimitNOFILE", str(OPEN_FILES)),
        Directive("LimitCORE", "0"),
    )


def _confinement(program: Program, layout: Layout) -> tuple[Directive, ...]:
    folder = PurePosixPath(layout.secrets)
    credentials = tuple(f"{name}:{path_word(folder / secret)}" for name, secret in program.credentials)
    handed = (Directive("LoadCredential", credentials, "by its path: one that is missing fails the start"),)
    state = path_word(PurePosixPath(layout.state))
    closed = (Directive("InaccessiblePaths", f"-{state} -{path_word(folder)}", "models, state and secrets"),)
    lines = (*(handed if credentials else ()), *sandbox.watcher(local=False), *closed)
    return _with_low_port(lines) if program.port < PRIVILEGED else lines


def _with_low_port(lines: tuple[Directive, ...]) -> tuple[Directive, ...]:
    """A port below 1024 takes one capability, in the host's own user namespace."""
    capability = "CAP_NET_BIND_SERVICE"
    changed = {
        "CapabilityBoundingSet": Directive("CapabilityBoundingSet", capability, "its port is a low one"),
        "AmbientCapabilities": Directive("AmbientCapabilities", capability),
    }
    return tuple(changed.get(line.name, line) for line in lines if line.name != "PrivateUsers")
