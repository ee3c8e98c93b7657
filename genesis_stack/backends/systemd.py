"""The systemd backend: a socket and a service a model; the socket keeps the port whatever the server does.

Everything goes through systemctl and its companions, so that what a run has done can be read, and repeated
by hand. Nothing here waits for a server to be ready: that is the gate's.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from genesis_stack import durable, process
from genesis_stack.backends import ports, procfs
from genesis_stack.backends.files import read_files
from genesis_stack.backends.gateway import lint_gateway
from genesis_stack.backends.interface import (
    Desired,
    Foreign,
    Health,
    LintError,
    Monitor,
    Observation,
    ObservedService,
    Service,
)
from genesis_stack.backends.monitoring import lint_monitoring
from genesis_stack.backends.probe import ask
from genesis_stack.backends.units import (
    PROPERTIES,
    Unit,
    declared_limits,
    drop_ins,
    observed,
    observed_monitor,
    parse_show,
    sandbox_of,
)
from genesis_stack.layout import Layout
from genesis_stack.render import RenderedFile, ResolvedModel, Runtime
from genesis_stack.render.agent import AGENT, SERVICE, TIMER
from genesis_stack.render.monitoring.programs import unit_name
from genesis_stack.render.programs import programs
from genesis_stack.render.serve import config_path
from genesis_stack.render.systemd import (
    CACHES,
    LOGS,
    SLICE,
    SYSUSERS,
    TARGET,
    TMPFILES,
    UNITS,
    render,
    service_name,
    socket_name,
)
from genesis_stack.spec.model import Stack

RUNTIME_UNITS: Final = Path("/run/systemd/system")
"""Where the unit of a second server stands while a change moves over to it."""
VENDOR_UNITS: Final = "/usr/lib/systemd/system:/lib/systemd/system"
"""Where the linters find units beside the staged ones: without the drop-ins that an apply sets aside."""
EXPOSURE: Final = re.compile(r"Overall exposure level for .*: ([0-9.]+)")
NOT_LOADED: Final = 5
"""Exit status of systemctl when there is no such unit."""
JOB_SECONDS: Final = 60.0
"""Patience with a job that waits for nothing but systemd itself."""


class SystemdBackend:
    """Servers as units of the system's own manager; needs root to change anything."""

    name = "systemd"
    unenforced: tuple[str, ...] = ()
    hands_over_secrets = True

    def __init__(self, layout: Layout, runtime: Runtime | None = None) -> None:
        self.layout = layout
        self.runtime = runtime or Runtime.this()

    @property
    def caches(self) -> tuple[Path, ...]:
        """What every CacheDirectory= is below."""
        return tuple(map(self.live, _with_private(CACHES)))

    @property
    def logs(self) -> tuple[Path, ...]:
        """What every LogsDirectory= is below."""
        return tuple(map(self.live, _with_private(LOGS)))

    def render(self, stack: Stack, resolved: Mapping[str, ResolvedModel]) -> tuple[RenderedFile, ...]:
        """Units, sysusers and tmpfiles fragments, and the servers' configs."""
        return render(stack, resolved, self.layout, self.runtime)

    def triggers(self, model: str) -> tuple[tuple[PurePosixPath, ...], tuple[PurePosixPath, ...]]:
        """Config and service unit restart the server, the socket unit reopens its port."""
        restart = (config_path(model, self.layout), UNITS / service_name(model))
        return restart, (UNITS / socket_name(model),)

    def monitors(self, stack: Stack) -> tuple[Monitor, ...]:
        """Services of their own, beside the models' slice, and the timer of the agent."""
        beside = tuple(
            Monitor.of(one, UNITS / one.unit, self.layout.secrets)
            for one in programs(stack, self.layout, self.runtime, "systemd")
        )
        timer = Monitor(AGENT, host="", port=0, reload_on=(), restart_on=(UNITS / TIMER,), program="git")
        return (*beside, timer) if stack.gitops is not None else beside

    def live(self, path: PurePosixPath) -> Path:
        """Rendered paths are the host's own."""
        return Path(path)

    def observe(self, desired: Desired, known: Sequence[PurePosixPath]) -> Observation:
        """One `systemctl show`, one look at /proc, and the files."""
        units = self._show(desired.services, desired.monitors)
        contents, modes = read_files([*desired.files, *known], self.live)
        services = self._observed(desired.services, units, contents)
        monitors = {
            name: observed_monitor(
                units[unit_name(name)], declared_limits(contents.get(UNITS / unit_name(name)) or "")
            )
            for name in desired.monitors
        }
        running = (*services.values(), *monitors.values())
        ours = {1} | {pid for one in running if one.pid is not None for pid in procfs.family(one.pid)}
        taken = {service.port for service in desired.services.values()}
        taken |= {port for monitor in desired.monitors.values() for port in monitor.ports}
        strangers = ports.strangers(taken, ours)
        foreign = tuple(_foreign(units, _owners(desired)))
        return Observation(contents, modes, services, foreign, strangers, monitors)

    def processes(self, services: Mapping[str, Service]) -> Mapping[str, ObservedService]:
        """One `systemctl show`."""
        return self._observed(services, self._show(services), {})

    def _show(self, services: Mapping[str, Service], monitors: Iterable[str] = ()) -> dict[str, Unit]:
        names = [unit for model in services for unit in (service_name(model), socket_name(model))]
        names += map(unit_name, monitors)
        if not names:
            return {}
        argv = ["systemctl", "show", f"--property={','.join(PROPERTIES)}", SLICE, *names]
        return parse_show(process.run(argv).stdout)

    def _observed(
        self,
        services: Mapping[str, Service],
        units: Mapping[str, Unit],
        contents: Mapping[PurePosixPath, str | None],
    ) -> dict[str, ObservedService]:
        found = {}
        for model in services:
            declared = declared_limits(contents.get(UNITS / service_name(model)) or "")
            found[model] = observed(units[service_name(model)], units[socket_name(model)], declared)
        return found

    def health(self, service: Service) -> Health:
        """Its answer on its port."""
        return ask(service)

    def lint(self, staged: Path, desired: Desired) -> None:
        """No word from `systemd-analyze verify`, no sandbox weaker than the stack allows, rules that load."""
        lint_monitoring(staged, desired.monitors.values())
        lint_gateway(staged, desired.monitors.values())
        folder = staged / UNITS.relative_to("/")
        units = sorted(folder.iterdir())
        argv: list[str | Path] = ["systemd-analyze", "verify", "--man=no", *units]
        checked = process.run(argv, check=False, env=_linting())
        said = (checked.stdout + checked.stderr).strip()
        if checked.returncode != 0 or said:
            raise LintError(f"systemd-analyze verify: {said or checked.returncode}")
        for service in desired.services.values():
            score = _exposure(folder / service_name(service.model))
            if score > service.max_exposure:
                raise LintError(
                    f"{service_name(service.model)}: its exposure is {score:g}, "
                    f"max_exposure is {service.max_exposure:g}"
                )

    def remark(self, path: PurePosixPath, before: str | None, after: str) -> str:
        """How the exposure of a server changes, when its sandbox does."""
        if before is None or path.suffix != ".service" or sandbox_of(before) == sandbox_of(after):
            return ""
        with tempfile.TemporaryDirectory(prefix="genesis-stack-") as folder:
            old, new = Path(folder) / "before.service", Path(folder) / "after.service"
            old.write_text(before)
            new.write_text(after)
            return f"exposure {_exposure(old):g} -> {_exposure(new):g}"

    def reload(self, desired: Desired) -> None:
        """Users, directories, enablement, and the units themselves."""
        if desired.services:
            _do("systemd-sysusers", SYSUSERS)
            _do("systemd-tmpfiles", "--create", TMPFILES)
        _do("systemctl", "daemon-reload")
        names = [unit for model in desired.services for unit in (service_name(model), socket_name(model))]
        names += map(unit_name, desired.monitors)
        if names:
            _do("systemctl", "enable", "--quiet", TARGET, *names)

    def start(self, service: Service) -> None:
        """Open the port, then start the server; clients queue from the first moment."""
        _do("systemctl", "start", TARGET, socket_name(service.model))
        _do("systemctl", "start", "--no-block", service_name(service.model))

    def restart(self, service: Service) -> None:
        """Stop and start the server behind its open socket; a second one from an interrupted run goes."""
        self._drop_second(service)
        _do("systemctl", "start", socket_name(service.model))
        _do("systemctl", "restart", "--no-block", service_name(service.model))

    def release(self, model: str) -> None:
        """Stop server and socket, and forget them at boot."""
        self.stop(model)
        with contextlib.suppress(process.ProcessError):  # no such unit: nothing to forget
            _do("systemctl", "disable", "--quiet", service_name(model), socket_name(model))

    def stop(self, model: str) -> None:
        """Stop socket and server; both come back with a boot."""
        argv = ("systemctl", "stop", socket_name(model), service_name(model))
        try:
            _do(*argv, timeout=JOB_SECONDS * 10)
        except process.ProcessError as error:
            if error.completed.returncode != NOT_LOADED:
                raise

    def start_beside(self, service: Service) -> None:
        """A second unit with the new files, on the same socket (systemd.service(5), `Sockets=`)."""
        content = self.live(UNITS / service_name(service.model)).read_text()
        socket = f"[Service]\nSockets={socket_name(service.model)}\n"
        durable.write(_second(service), content.replace("[Service]\n", socket, 1))
        _do("systemctl", "daemon-reload")
        _do("systemctl", "start", "--no-block", _second(service).name)

    def finish_beside(self, service: Service, *, keep_new: bool) -> None:
        """Restart the first with the new files while the second serves, then end the second."""
        if keep_new:
            patience = JOB_SECONDS + service.deadline + service.drain
            _do("systemctl", "restart", service_name(service.model), timeout=patience)
        self._drop_second(service)

    def _drop_second(self, service: Service) -> None:
        second = _second(service)
        if second.exists():
            _do("systemctl", "stop", second.name, timeout=JOB_SECONDS + service.drain)
            durable.remove(second)
            _do("systemctl", "daemon-reload")

    def start_monitor(self, monitor: Monitor) -> None:
        """Start its unit."""
        _do("systemctl", "restart", unit_name(monitor.name))

    def reload_monitor(self, monitor: Monitor) -> None:
        """SIGHUP, by its unit's ExecReload=."""
        _do("systemctl", "reload", unit_name(monitor.name))

    def stop_monitor(self, name: str) -> None:
        """Stop its unit and forget it at boot."""
        with contextlib.suppress(process.ProcessError):  # no such unit: nothing to stop
            _do("systemctl", "disable", "--quiet", "--now", unit_name(name))

    def forget_monitor(self, name: str) -> None:
        """Stop it and let systemd remove its StateDirectory=."""
        self.stop_monitor(name)
        with contextlib.suppress(process.ProcessError):  # none there
            _do("systemctl", "clean", "--what=state", unit_name(name))

    def shutdown(self) -> None:
        """The manager is the system's: it stays; our target, and what watches with it, stops."""
        with contextlib.suppress(process.ProcessError):
            _do("systemctl", "stop", TARGET)

    def log_tail(self, model: str, lines: int) -> list[str]:
        """The last lines of the journal of its service."""
        argv = [
            "journalctl",
            "--no-pager",
            "--output=cat",
            f"--lines={lines}",
            f"--unit={_unit(model)}",
        ]
        return process.run(argv, check=False).stdout.splitlines()

    def follow_log(self, model: str, lines: int) -> Iterator[str]:
        """The journal of its service, as it grows."""
        return process.stream(
            ["journalctl", "--follow", "--output=cat", f"--lines={lines}", f"--unit={_unit(model)}"]
        )


def _with_private(folder: PurePosixPath) -> tuple[PurePosixPath, PurePosixPath]:
    """A directory of links, and what they lead to under DynamicUser= (systemd.exec(5), RuntimeDirectory=)."""
    return folder, folder.parent / "private" / folder.name


def _unit(name: str) -> str:
    """The service unit of a model, or of a monitor, whose name holds a dot; of the agent not its timer."""
    if name == AGENT:
        return SERVICE
    return unit_name(name) if "." in name else service_name(name)


def _do(*argv: str | PurePosixPath, timeout: float = JOB_SECONDS) -> None:
    """Run a program that changes the host."""
    words = [str(word) for word in argv]
    durable.step(shlex.join(words))
    process.run(words, timeout=timeout)


def _linting() -> dict[str, str]:
    return {**os.environ, "SYSTEMD_UNIT_PATH": VENDOR_UNITS}


def _exposure(unit: Path) -> float:
    """The score of `systemd-analyze security`: 0 is best, 10 is a bare unit."""
    argv: list[str | Path] = ["systemd-analyze", "security", "--offline=true", "--no-pager", unit]
    said = process.run(argv, env=_linting()).stdout
    found = EXPOSURE.search(said)
    if found is None:
        raise LintError(f"systemd-analyze security gives no score for {unit.name}")
    return float(found[1])


def _second(service: Service) -> Path:
    return RUNTIME_UNITS / f"{service.model}-server-next.service"


def _owners(desired: Desired) -> dict[str, str]:
    """Unit → the model or monitor that it is of; the slice is everybody's."""
    services = {unit(model): model for model in desired.services for unit in (service_name, socket_name)}
    return services | {unit_name(name): name for name in desired.monitors}


def _foreign(units: Mapping[str, Unit], owners: Mapping[str, str]) -> Iterator[Foreign]:
    for name, unit in units.items():
        for path in drop_ins(unit):
            with contextlib.suppress(FileNotFoundError):  # systemd has not noticed yet that it is gone
                yield Foreign(path, owners.get(name), path.read_text(errors="replace"))
