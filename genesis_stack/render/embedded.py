"""A stack for the embedded backend: circus's ini, one more for each model, and the config of each server.

The arbiter opens the ports and hands them down, so that a server can crash, restart or be replaced while
its clients wait in the backlog. See circus's "configuration" page for the options. A server gets its own
socket as standard input: under `use_sockets` it would inherit the neighbours' too, and a port would stay
open behind a model that is long gone.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.render.access import clients_file
from genesis_stack.render.files import RenderedFile, ResolvedModel, Runtime
from genesis_stack.render.gateway import gateway_file
from genesis_stack.render.monitoring import monitoring_files
from genesis_stack.render.monitoring.programs import Program, data_directory
from genesis_stack.render.monitoring.units import HEAP
from genesis_stack.render.programs import programs
from genesis_stack.render.serve import config_file, config_path
from genesis_stack.spec.model import Stack

LOG_BYTES: Final = 10 * 1024 * 1024
"""Size at which a log is rotated."""
LOG_FILES: Final = 5
"""Rotated logs that are kept for each stream."""
DRAIN_MARGIN: Final = 10.0
"""Seconds between the end of a server's drain and the SIGKILL that ends one which hangs."""
BACKLOG: Final = 1024
"""Connections that wait while a server restarts; the kernel caps it at net.core.somaxconn."""

SYSTEM_PROGRAMS: Final = "/usr/local/sbin:/usr/sbin"
"""Where distributions put programs that are usually root's to run."""
ABOUT: Final = "Rendered by genesis-stack: edit stack.yaml instead."

Section = tuple[str, Sequence[tuple[str, object]]]


def circus_path(layout: Layout) -> PurePosixPath:
    """Where the arbiter's ini stands."""
    return PurePosixPath(layout.config) / "circus.ini"


def watcher_path(name: str, layout: Layout) -> PurePosixPath:
    """Where the socket and the process of model `name` are declared."""
    return PurePosixPath(layout.config) / "circus.d" / f"{name}.ini"


def log_path(name: str, stream: str, layout: Layout) -> PurePosixPath:
    """Where `stdout` or `stderr` of model `name` goes; rotated ones end in .1 to .5."""
    return PurePosixPath(layout.logs) / f"{name}.{stream}.log"


def render(
    stack: Stack,
    resolved: Mapping[str, ResolvedModel],
    layout: Layout,
    runtime: Runtime,
    absent: Collection[str] = (),
) -> tuple[RenderedFile, ...]:
    """All files of the embedded backend, owned by whoever runs it.

    `absent` are monitors whose programs are not installed here.
    """
    arbiter = _ini([_arbiter(layout), _memory_guard(layout)])
    files = [RenderedFile(circus_path(layout), arbiter, 0o644, owner=""), _logging(layout)]
    files += clients_file(stack, layout, owner="")
    for name, model in stack.models.items():
        listen = model.listen or stack.defaults.listen
        watcher = _watcher(name, model.limits.drain_timeout, layout, runtime)
        ini = _ini([_socket(name, listen, model.port), watcher])
        files.append(RenderedFile(watcher_path(name, layout), ini, 0o644, owner=""))
        files.append(config_file(stack, name, resolved[name], layout, owner=""))
    for program in programs(stack, layout, runtime, "embedded"):
        if program.name not in absent:
            ini = _ini(_monitor(program, layout))
            files.append(RenderedFile(watcher_path(program.name, layout), ini, 0o644, owner=""))
    files += gateway_file(stack, layout, "", ABOUT)
    files += monitoring_files(stack, layout, "", lambda secret: str(layout.secrets / secret))
    return tuple(files)


def _arbiter(layout: Layout) -> Section:
    return "circus", [
        ("endpoint", f"ipc://{layout.arbiter_socket}"),
        ("pubsub_endpoint", f"ipc://{layout.arbiter_events}"),
        ("multicast_endpoint", ""),  # no discovery on the network
        ("pidfile", layout.arbiter_pid),
        ("check_delay", 0.5),  # seconds until a dead server is noticed
        ("umask", "077"),
        ("loggerconfig", _logging_path(layout)),
        ("include_dir", watcher_path("any", layout).parent),
    ]


def _memory_guard(layout: Layout) -> Section:
    return "plugin:memory-guard", [
        ("use", "genesis_stack.backends.memory_guard.MemoryGuard"),
        ("configs", config_path("any", layout).parent),
        ("events", layout.events),
    ]


def _logging_path(layout: Layout) -> PurePosixPath:
    return PurePosixPath(layout.config) / "circus-logging.json"


def _logging(layout: Layout) -> RenderedFile:
    """The arbiter's own log, bounded; in the form of `logging.config.dictConfig`."""
    handler = {
        "class": "logging.handlers.RotatingFileHandler",
        "filename": str(layout.arbiter_log),
        "maxBytes": LOG_BYTES,
        "backupCount": LOG_FILES,
        "formatter": "line",
    }
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
        "handlers": {"file": handler},
        "root": {"level": "INFO", "handlers": ["file"]},
    }
    return RenderedFile(_logging_path(layout), json.dumps(config, indent=2) + "\n", 0o644, owner="")


def _socket(name: str, host: str, port: int) -> Section:
    family = [("family", "AF_INET6")] if ":" in host else []
    return f"socket:{name}", [("host", host), ("port", port), *family, ("backlog", BACKLOG)]


def _watcher(name: str, drain_timeout: float, layout: Layout, runtime: Runtime) -> Section:
    program, config = (shlex.quote(str(path)) for path in (runtime.genesis_serve, config_path(name, layout)))
    return f"watcher:{name}", [
        ("cmd", f"{program} --config {config} --fd 0"),
        ("stdin_socket", name),
        ("autostart", False),  # the reconciler starts servers in waves
        ("copy_env", True),
        ("max_retry", 1),  # attempts of one start; circus does nothing else while it repeats them
        ("stop_signal", "SIGTERM"),
        ("graceful_timeout", drain_timeout + DRAIN_MARGIN),
        *_streams(name, layout),
    ]


def credentials_directory(name: str, layout: Layout) -> PurePosixPath:
    """Where a program finds what it is handed, as systemd's $CREDENTIALS_DIRECTORY."""
    return data_directory(name, "embedded", layout) / "credentials"


def _monitor(program: Program, layout: Layout) -> Sequence[Section]:
    """A program that opens its own port."""
    watcher = (
        f"watcher:{program.name}",
        [
            ("cmd", shlex.join(program.argv)),
            ("autostart", False),
            ("copy_env", True),
            ("max_retry", 1),
            ("stop_signal", "SIGUSR1" if program.reach == "front" else "SIGTERM"),
            ("graceful_timeout", DRAIN_MARGIN),
            *_streams(program.name, layout),
        ],
    )
    return [watcher, (f"env:{program.name}", _environment(program, layout))]


def _environment(program: Program, layout: Layout) -> Sequence[tuple[str, object]]:
    """Debian keeps HAProxy out of a user's PATH; GOMEMLIMIT is all that bounds a Go program's memory."""
    if program.reach == "front":
        handed = credentials_directory(program.name, layout)
        return [("PATH", f"$PATH:{SYSTEM_PROGRAMS}"), ("CREDENTIALS_DIRECTORY", handed)]
    return [("GOMEMLIMIT", int(program.memory * HEAP))]


def _streams(name: str, layout: Layout) -> list[tuple[str, object]]:
    return [
        (f"{stream}_stream.{option}", value)
        for stream in ("stdout", "stderr")
        for option, value in (
            ("class", "FileStream"),
            ("filename", log_path(name, stream, layout)),
            ("max_bytes", LOG_BYTES),
            ("backup_count", LOG_FILES),
        )
    ]


def _ini(sections: Sequence[Section]) -> str:
    return "\n".join(
        f"[{title}]\n" + "".join(f"{option} = {_value(value)}\n" for option, value in options)
        for title, options in sections
    )


def _value(value: object) -> str:
    """An ini value; circus has no way to escape a line end, a comment or one of its own variables."""
    text = str(value)
    if "\n" in text or " ;" in text:
        raise GenesisError(
            f"{text!r} cannot be written in circus.ini",
            hint="choose a directory whose name has no line end and no ' ;'",
            exit_code=ExitCode.INVALID_CONFIG,
        )
    return text
