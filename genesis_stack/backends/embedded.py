"""The embedded backend: circus's arbiter, run by the user itself, for machines without systemd.

The arbiter holds the ports, so servers come and go without a refused connection. It reads one ini a model;
a changed ini makes it stop that model's server, and the reconciler starts it again in its wave.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, Final

from genesis_stack import durable
from genesis_stack.backends import logfiles, ports, procfs
from genesis_stack.backends.arbiter import Arbiter, ArbiterError
from genesis_stack.backends.files import read_files
from genesis_stack.backends.gateway import hand_over, lint_gateway
from genesis_stack.backends.interface import (
    Desired,
    Foreign,
    Health,
    LintError,
    Monitor,
    Observation,
    ObservedService,
    Phase,
    Service,
)
from genesis_stack.backends.monitoring import lint_monitoring
from genesis_stack.backends.probe import ask
from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.render import RenderedFile, ResolvedModel, Runtime
from genesis_stack.render.embedded import (
    circus_path,
    credentials_directory,
    log_path,
    render,
    watcher_path,
)
from genesis_stack.render.monitoring.programs import data_directory
from genesis_stack.render.programs import programs
from genesis_stack.render.serve import config_path
from genesis_stack.spec.model import Stack

STOP_SECONDS: Final = 60.0
"""Patience with a server's drain when nothing better is known."""
PHASES: Final = {
    "active": Phase.RUNNING,
    "starting": Phase.STARTING,
    "stopping": Phase.STOPPED,
    "stopped": Phase.STOPPED,
}
UNENFORCED: Final = (
    "no sandbox: servers run with your user's rights and can reach the network",
    "no hard memory limit: a server above its budget is restarted, after the fact",
    "no CPU limit: threads follow the CPU budget, the kernel does not hold them to it",
    "no start at boot: run `genesis-stack apply` after a reboot",
)


class EmbeddedBackend:
    """Servers as children of a circus arbiter that belongs to the current user."""

    name = "embedded"
    hands_over_secrets = False

    def __init__(self, layout: Layout, runtime: Runtime | None = None) -> None:
        self.unenforced: tuple[str, ...] = UNENFORCED
        self.layout = layout
        self.runtime = runtime or Runtime.this()
        self.ini = Path(circus_path(layout))
        self.arbiter = Arbiter(self.ini, layout)

    @property
    def caches(self) -> tuple[Path, ...]:
        """None: all are below the state."""
        return ()

    @property
    def logs(self) -> tuple[Path, ...]:
        """That of the layout."""
        return (self.layout.logs,)

    def render(self, stack: Stack, resolved: Mapping[str, ResolvedModel]) -> tuple[RenderedFile, ...]:
        """The arbiter's inis and the servers' configs; no program that is not installed."""
        absent = self._absent(stack)
        self.unenforced = (*UNENFORCED, *(f"{name} is not installed: it does not run" for name in absent))
        return render(stack, resolved, self.layout, self.runtime, absent)

    def _absent(self, stack: Stack) -> dict[str, str]:
        declared = programs(stack, self.layout, self.runtime, "embedded")
        watching = (one for one in declared if one.reach != "front")
        return {one.name: one.argv[0] for one in watching if shutil.which(one.argv[0]) is None}

    def monitors(self, stack: Stack) -> tuple[Monitor, ...]:
        """The installed ones, as further children of the arbiter."""
        absent = self._absent(stack)
        return tuple(
            Monitor.of(one, watcher_path(one.name, self.layout), self.layout.secrets)
            for one in programs(stack, self.layout, self.runtime, "embedded")
            if one.name not in absent
        )

    def triggers(self, model: str) -> tuple[tuple[PurePosixPath, ...], tuple[PurePosixPath, ...]]:
        """The model's config; and its ini, which says how its port and its process are set up."""
        return (config_path(model, self.layout),), (watcher_path(model, self.layout),)

    def live(self, path: PurePosixPath) -> Path:
        """Rendered paths are already this user's."""
        return Path(path)

    def observe(self, desired: Desired, known: Sequence[PurePosixPath]) -> Observation:
        """One round of questions to the arbiter, one look at /proc, and the files."""
        pid = self.arbiter.pid
        ours = [pid] if pid is not None else self.arbiter.orphans()
        contents, modes = read_files([*desired.files, *known], self.live)
        services = self.processes(desired.services)
        monitors = self._running(desired.monitors)
        running = (one.pid for one in monitors.values() if one.pid is not None)
        ours += [pid for main in running for pid in procfs.family(main)]
        taken = {service.port for service in desired.services.values()}
        taken |= {port for monitor in desired.monitors.values() for port in monitor.ports}
        strangers = ports.strangers(taken, ours)
        foreign = self._foreign({*desired.files, *known})
        return Observation(contents, modes, services, foreign, strangers, monitors)

    def processes(self, services: Mapping[str, Service]) -> Mapping[str, ObservedService]:
        """What the arbiter knows of the servers; nothing when it does not run."""
        return self._running(services)

    def _running(self, names: Iterable[str]) -> dict[str, ObservedService]:
        if self.arbiter.pid is None:
            return {name: _observed(None, {}) for name in names}
        phases: Mapping[str, str] = self.arbiter.ask("status")["statuses"]
        infos: Mapping[str, Mapping[str, Mapping[str, Any]]] = self.arbiter.ask("stats")["infos"]
        return {name: _observed(phases.get(name), infos.get(name, {})) for name in names}

    def _foreign(self, known: set[PurePosixPath]) -> tuple[Foreign, ...]:
        """Inis that the arbiter would read though we did not write them."""
        folder = Path(watcher_path("any", self.layout)).parent
        found = (path for path in sorted(folder.glob("*.ini")) if PurePosixPath(path) not in known)
        return tuple(Foreign(path, path.stem, path.read_text(errors="replace")) for path in found)

    def health(self, service: Service) -> Health:
        """Its answer on its port."""
        return ask(service)

    def lint(self, staged: Path, desired: Desired) -> None:
        """Every staged server config is one that the servers of this version read, and rules load."""
        lint_monitoring(staged, desired.monitors.values())
        lint_gateway(staged, desired.monitors.values())
        for service in desired.services.values():
            for path in service.restart_on:
                if path.suffix == ".json":
                    try:
                        ServeConfig.model_validate_json((staged / path.relative_to("/")).read_bytes())
                    except ValueError as error:
                        raise LintError(f"{path}: {error}") from None

    def remark(self, path: PurePosixPath, before: str | None, after: str) -> str:  # noqa: ARG002 -- no sandbox here
        """Nothing beyond the diff."""
        return ""

    def reload(self, desired: Desired) -> None:
        """Start the arbiter, or let it read its inis; a changed arbiter section needs a new arbiter."""
        if not desired.services:
            self.arbiter.end(STOP_SECONDS)
            return
        if self.arbiter.pid is not None and self._started_with() != self._ini_digest():
            self.arbiter.end(self._patience(desired))
        if self.arbiter.pid is None:
            self.arbiter.start()
            durable.write(self._started_file, self._ini_digest(), 0o600)
        else:
            durable.step("reload arbiter")
            self.arbiter.ask("reloadconfig", waiting=True, timeout=self._patience(desired))

    @property
    def _started_file(self) -> Path:
        return self.layout.run / "circus.started-with"

    def _started_with(self) -> str:
        with contextlib.suppress(OSError):
            return self._started_file.read_text()
        return ""

    def _ini_digest(self) -> str:
        return sha256(self.ini.read_bytes()).hexdigest()

    def _patience(self, desired: Desired) -> float:
        return STOP_SECONDS + max((service.drain for service in desired.services.values()), default=0.0)

    def start(self, service: Service) -> None:
        """Start the server's process; the arbiter keeps it alive from then on."""
        durable.step(f"start {service.model}")
        self.arbiter.ask("start", name=service.model, waiting=True)
        self._check_started(service)

    def restart(self, service: Service) -> None:
        """Drain, stop and start, while the arbiter keeps the port."""
        durable.step(f"restart {service.model}")
        patience = STOP_SECONDS + service.drain
        if len(self._living(service.model)) > 1:
            self.arbiter.ask("decr", name=service.model, nb=1, waiting=True, timeout=patience)
        self.arbiter.ask("restart", name=service.model, waiting=True, timeout=patience)
        self._check_started(service)

    def _check_started(self, service: Service) -> None:
        if self.arbiter.ask("status")["statuses"][service.model] == "stopped":
            hint = f"see {self.layout.arbiter_log}"
            raise GenesisError(f"{service.model}: its program could not be run", hint=hint)

    def release(self, model: str) -> None:
        """Take the server out of the arbiter; the next `reload` closes its port."""
        if self.arbiter.pid is None:
            return
        durable.step(f"remove {model}")
        with contextlib.suppress(ArbiterError):  # not there: nothing to remove
            self.arbiter.ask("rm", name=model, waiting=True, timeout=STOP_SECONDS)

    stop = release

    def start_beside(self, service: Service) -> None:
        """A second process on the same socket; it reads the config that is now on disk."""
        durable.step(f"start beside {service.model}")
        self.arbiter.ask("incr", name=service.model, nb=1, waiting=True)

    def finish_beside(self, service: Service, *, keep_new: bool) -> None:
        """Back to one process. The arbiter ends the oldest; to keep that one, the newest is killed first."""
        durable.step(f"finish beside {service.model}")
        processes = self._living(service.model)
        if not keep_new and len(processes) > 1:
            newest = max(processes, key=lambda pid: float(processes[pid]["started"]))
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(newest), signal.SIGKILL)
        if len(processes) > 1:
            patience = STOP_SECONDS + service.drain
            self.arbiter.ask("decr", name=service.model, nb=1, waiting=True, timeout=patience)

    def _living(self, model: str) -> dict[str, Mapping[str, Any]]:
        processes = self.arbiter.ask("stats", name=model)["info"]
        return {pid: info for pid, info in processes.items() if isinstance(info, dict)}

    def start_monitor(self, monitor: Monitor) -> None:
        """Start its process; the arbiter keeps it alive from then on."""
        durable.mkdir(Path(data_directory(monitor.name, "embedded", self.layout)), 0o700)
        hand_over(monitor.credentials, Path(credentials_directory(monitor.name, self.layout)))
        durable.step(f"start {monitor.name}")
        self.arbiter.ask("start", name=monitor.name, waiting=True)

    def reload_monitor(self, monitor: Monitor) -> None:
        """SIGHUP."""
        durable.step(f"reload {monitor.name}")
        self.arbiter.ask("signal", name=monitor.name, signum=int(signal.SIGHUP))

    def stop_monitor(self, name: str) -> None:
        """Take it out of the arbiter."""
        self.release(name)

    def forget_monitor(self, name: str) -> None:
        """Take it out of the arbiter, and remove its data."""
        self.release(name)
        durable.remove_tree(Path(data_directory(name, "embedded", self.layout)))

    def shutdown(self) -> None:
        """End all servers and the arbiter."""
        self.arbiter.end(STOP_SECONDS)
        for path in (self.layout.arbiter_socket, self.layout.arbiter_events, self._started_file):
            durable.remove(path)

    def log_tail(self, model: str, lines: int) -> list[str]:
        """The last lines of standard output, then of standard error."""
        return logfiles.tail(self._logs(model), lines)

    def follow_log(self, model: str, lines: int) -> Iterator[str]:
        """Both streams, as they grow."""
        return logfiles.follow(self._logs(model), lines)

    def _logs(self, model: str) -> list[Path]:
        return [Path(log_path(model, stream, self.layout)) for stream in ("stdout", "stderr")]


def _observed(phase: str | None, processes: Mapping[str, Mapping[str, Any]]) -> ObservedService:
    if phase is None:
        return ObservedService(Phase.ABSENT, listening=False)
    living = {pid: info for pid, info in processes.items() if isinstance(info, dict)}  # a text: just died
    if not living:
        return ObservedService(Phase.STOPPED if phase == "stopped" else Phase.STARTING)
    pid, info = max(living.items(), key=lambda item: float(item[1]["started"]))
    return ObservedService(PHASES[phase], int(pid), float(info["started"]), memory=procfs.resident(int(pid)))
