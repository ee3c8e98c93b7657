"""The monitoring programs as systemd units, each confined to what it needs; see systemd.exec(5).

None of them is in the models' slice: what watches must not starve what is watched, nor the other way round.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from genesis_stack.layout import Layout
from genesis_stack.render import sandbox
from genesis_stack.render.monitoring.programs import Program
from genesis_stack.render.unitfile import Directive, Section, exec_word, literal, path_word, unit

HEAP: Final = 0.85
"""Share of its memory at which Go's collector tries hard to keep inside (GOMEMLIMIT, since Go 1.19)."""
TASKS: Final = 128
_TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108 -- named, not written to
OPEN_FILES: Final = 16_384
"""Blocks of the time series database are mapped files."""
CREDENTIALS: Final = PurePosixPath("/run/credentials")


def secret_file(program: str, secret: str) -> str:
    """Where systemd hands a unit one of its secrets."""
    return str(CREDENTIALS / program / secret)


def monitor_unit(program: Program, layout: Layout, about: str, target: str) -> str:
    """The unit file of one program."""
    start = (
        Directive("Description", literal(program.title)),
        Directive("PartOf", target),
        Directive("After", "network.target"),
        Directive("StartLimitIntervalSec", "0", "what watches must not give up"),
    )
    service = (*_process(program), *_limits(program), *_confinement(program, layout))
    install = (Directive("WantedBy", target),)
    sections = (Section("Unit", start), Section("Service", service), Section("Install", install))
    return unit(about, sections)


def _process(program: Program) -> tuple[Directive, ...]:
    reload = (Directive("ExecReload", "/bin/kill -HUP $MAINPID", "a changed configuration needs no restart"),)
    name = program.unit.removesuffix(".service")
    data = (Directive("StateDirectory", name), Directive("StateDirectoryMode", "0700"))
    return (
        Directive("Type", "exec"),
        Directive("ExecStart", " ".join(exec_word(word) for word in program.argv)),
        *(reload if program.configs else ()),
        Directive("Restart", "always"),
        Directive("RestartSec", "2s"),
        *(data if program.data else ()),
    )


def _limits(program: Program) -> tuple[Directive, ...]:
    return (
        Directive("MemoryMax", str(program.memory)),
        Directive("MemorySwapMax", "0"),
        Directive("Environment", f"GOMEMLIMIT={int(program.memory * HEAP)}"),
        Directive("CPUWeight", "50", "half of what another service gets when all want more"),
        Directive("TasksMax", str(TASKS)),
        Directive("LimitNOFILE", str(OPEN_FILES)),
        Directive("LimitCORE", "0"),
    )


def _shown(program: Program) -> tuple[Directive, ...]:
    """What PrivateTmp would hide of the directories that it runs from."""
    hidden = [
        path_word(path)
        for path in program.readable
        if any(path.is_relative_to(temporary) for temporary in _TEMPORARY)
    ]
    return (Directive("BindReadOnlyPaths", tuple(hidden), "where it is installed"),) if hidden else ()


def _confinement(program: Program, layout: Layout) -> tuple[Directive, ...]:
    if program.reach == "host":
        return (*sandbox.observer(), *_shown(program))
    folder = PurePosixPath(layout.secrets)
    credentials = tuple(f"{name}:{path_word(folder / name)}" for name in program.secrets)
    handed = (Directive("LoadCredential", credentials, "by its path: one that is missing fails the start"),)
    state = path_word(PurePosixPath(layout.state))
    closed = (Directive("InaccessiblePaths", f"-{state} -{path_word(folder)}", "models, state and secrets"),)
    return (*(handed if credentials else ()), *sandbox.watcher(local=program.reach == "loopback"), *closed)
