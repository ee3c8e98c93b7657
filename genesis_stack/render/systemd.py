"""A stack for systemd: a socket and a service a model, the slice and the target around them.

The socket unit owns the port and outlives the server, so that clients wait instead of being refused while
it restarts. Directives newer than systemd 252 (Debian 12) are not used. See systemd.service(5),
systemd.socket(5) and systemd.resource-control(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Final

from genesis_stack.layout import Layout
from genesis_stack.protocol.serve_config import GROUP_LOCKS
from genesis_stack.render import sandbox
from genesis_stack.render.access import access_directory, clients_file, secrets_of
from genesis_stack.render.agent import agent_units
from genesis_stack.render.files import RenderedFile, ResolvedModel, Runtime
from genesis_stack.render.gateway import gateway_file, gateway_unit
from genesis_stack.render.monitoring import monitoring_files
from genesis_stack.render.monitoring.programs import unit_name
from genesis_stack.render.monitoring.units import monitor_unit, secret_file
from genesis_stack.render.programs import programs
from genesis_stack.render.serve import config_file, config_path, group_path
from genesis_stack.render.unitfile import Directive, Section, exec_word, literal, path_word, seconds, unit
from genesis_stack.spec.addresses import authority
from genesis_stack.spec.model import Model, Stack

UNITS: Final = PurePosixPath("/etc/systemd/system")
SYSUSERS: Final = PurePosixPath("/etc/sysusers.d/genesis-stack.conf")
CACHES: Final = PurePosixPath("/var/cache/genesis-stack")
LOGS: Final = PurePosixPath("/var/log/genesis-stack")
"""Where systemd makes the CacheDirectory= and the LogsDirectory= of every server."""
TMPFILES: Final = PurePosixPath("/etc/tmpfiles.d/genesis-stack.conf")
SLICE: Final = "genesis.slice"
TARGET: Final = "genesis.target"
ABOUT: Final = "Rendered by genesis-stack: edit stack.yaml instead."
"""The first line of every rendered file that can hold a comment."""

RESTART_DELAY: Final = 2.0
"""Seconds between a server's end and its next start."""
DRAIN_MARGIN: Final = 10.0
"""Seconds between the end of a server's drain and the SIGKILL that ends one which hangs."""
WATCHDOG: Final = 120.0
"""Seconds without a sign of life from the engine's loop after which a server is restarted."""
SLICE_WEIGHT: Final = 1000
"""Share of the CPUs when other services want them too; each slice of the system has 100."""
BACKLOG: Final = 4096
"""Connections that wait while a server restarts; the kernel caps it at net.core.somaxconn."""


def service_name(name: str) -> str:
    """The service unit of model `name`."""
    return f"{name}-server.service"


def socket_name(name: str) -> str:
    """The socket unit of model `name`."""
    return f"{name}-server.socket"


def root_directory(name: str, layout: Layout) -> PurePosixPath:
    """The empty directory that a strictly confined server has for a root."""
    return PurePosixPath(layout.run) / "root" / name


def render(
    stack: Stack, resolved: Mapping[str, ResolvedModel], layout: Layout, runtime: Runtime
) -> tuple[RenderedFile, ...]:
    """Every file that systemd needs to serve the stack, owned by root.

    Raises:
        GenesisError: the stack would lift a protection that always holds, or a path cannot be written.
    """
    shared = (
        _file(UNITS / SLICE, _slice(stack)),
        _file(UNITS / TARGET, _target(stack)),
        _file(SYSUSERS, _sysusers(stack, layout)),
        _file(TMPFILES, _tmpfiles(stack, layout)),
        *clients_file(stack, layout, owner="root"),
    )
    own = (
        file
        for name in stack.models
        for file in _Server(stack, name, resolved[name], layout, runtime).files()
    )
    units = agent_units(stack, layout, runtime, about=ABOUT, target=TARGET)
    agent = (_file(UNITS / name, content) for name, content in units)
    return (*shared, *own, *agent, *_programs(stack, layout, runtime))


def _programs(stack: Stack, layout: Layout, runtime: Runtime) -> Iterator[RenderedFile]:
    """The units of the gateway and of what watches, and what they read."""
    for program in programs(stack, layout, runtime, "systemd"):
        as_unit = gateway_unit if program.reach == "front" else monitor_unit
        yield _file(UNITS / program.unit, as_unit(program, layout, ABOUT, TARGET))
    yield from gateway_file(stack, layout, "root", ABOUT)
    alertmanager = unit_name("monitor.alertmanager")
    yield from monitoring_files(stack, layout, "root", lambda secret: secret_file(alertmanager, secret))


def _file(path: PurePosixPath, content: str) -> RenderedFile:
    return RenderedFile(path, content, 0o644, owner="root")


@dataclass(frozen=True, slots=True)
class _Server:
    """One model's units."""

    stack: Stack
    name: str
    resolved: ResolvedModel
    layout: Layout
    runtime: Runtime

    @property
    def model(self) -> Model:
        return self.stack.models[self.name]

    @property
    def cache(self) -> PurePosixPath | None:
        """Its CacheDirectory=, if the stack gives the prefix cache any disk."""
        disk = self.model.engine.prefix_cache_disk
        return CACHES / self.name if disk else None

    @property
    def logs(self) -> PurePosixPath | None:
        """Its LogsDirectory=, if it writes an audit record or spans; the journal's record continues there."""
        monitoring = self.stack.monitoring
        writes = monitoring.logs.audit != "off" or monitoring.tracing.exporter == "file"
        return LOGS / self.name if writes else None

    def files(self) -> tuple[RenderedFile, ...]:
        config = config_file(
            self.stack,
            self.name,
            self.resolved,
            self.layout,
            owner="root",
            logs=self.logs,
            prefix_cache=self.cache,
            credentials=True,
        )
        return (
            _file(UNITS / service_name(self.name), self.service()),
            _file(UNITS / socket_name(self.name), self.socket()),
            config,
        )

    def service(self) -> str:
        lines = (*self._process(), *self._life(), *self._confinement())
        return unit(
            ABOUT,
            (
                Section("Unit", self._unit()),
                Section("Service", lines),
                Section("Install", (Directive("WantedBy", TARGET),)),
            ),
        )

    def socket(self) -> str:
        host = self.model.listen or self.stack.defaults.listen
        local = (
            Directive("IPAddressDeny", "any", "loopback only, whatever is routed here"),
            Directive("IPAddressAllow", "localhost"),
        )
        listening = (
            Directive(
                "ListenStream",
                authority(host, self.model.port),
            ),
            Directive("Backlog", str(BACKLOG), "clients wait here while the server starts"),
            Directive("NoDelay", "yes", "tokens leave one by one"),
            *(local if ip_address(host).is_loopback else ()),
        )
        about = literal(f"Port {self.model.port} of {self.name}")
        return unit(
            ABOUT,
            (
                Section("Unit", (Directive("Description", about), Directive("PartOf", TARGET))),
                Section("Socket", listening),
                Section("Install", (Directive("WantedBy", TARGET),)),
            ),
        )

    def _unit(self) -> tuple[Directive, ...]:
        title = literal(self.model.description or "language model server")
        socket = socket_name(self.name)
        return (
            Directive("Description", f"{self.name}: {title}"),
            Directive("PartOf", TARGET),
            Directive("Requires", socket, "the port is the socket's: it is open before, during and after"),
            Directive("After", socket),
            Directive(
                "StartLimitIntervalSec", "0", "a server that gives up takes its socket down: clients refused"
            ),
        )

    def _process(self) -> tuple[Directive, ...]:
        command = (self.runtime.genesis_serve, "--config", config_path(self.name, self.layout))
        cache = (
            Directive("CacheDirectory", f"genesis-stack/{self.name}"),
            Directive("CacheDirectoryMode", "0700"),
        )
        return (
            Directive("Type", "notify", "started means: the model is loaded and answers"),
            Directive("NotifyAccess", "main"),
            Directive("ExecStart", " ".join(exec_word(word) for word in command)),
            Directive(
                "Environment", "OPENBLAS_NUM_THREADS=1", "numpy would take a task of the budget for each core"
            ),
            Directive("Slice", SLICE),
            *(cache if self.cache else ()),
            *self._logs(),
            *self._credentials(),
        )

    def _logs(self) -> tuple[Directive, ...]:
        own = (
            Directive("LogsDirectory", f"genesis-stack/{self.name}"),
            Directive("LogsDirectoryMode", "0700"),
        )
        unlimited = Directive(
            "LogRateLimitIntervalSec", "0", "an audit record that the journal dropped would look removed"
        )
        journal = self.stack.monitoring.logs.audit == "journal"
        return (*(own if self.logs else ()), *((unlimited,) if journal else ()))

    def _credentials(self) -> tuple[Directive, ...]:
        """By the long form alone: a secret that is missing fails the start instead of being left out."""
        folder = PurePosixPath(self.layout.secrets)
        return tuple(
            Directive("LoadCredential", f"{name}:{path_word(folder / name)}")
            for name in secrets_of(self.stack, self.name)
        )

    def _life(self) -> tuple[Directive, ...]:
        rollout = self.model.rollout or self.stack.defaults.rollout
        drain = self.model.limits.drain_timeout
        return (
            Directive("Restart", "always"),
            Directive("RestartSec", seconds(RESTART_DELAY)),
            Directive("TimeoutStartSec", seconds(rollout.deadline)),
            Directive("TimeoutStopSec", seconds(drain + DRAIN_MARGIN), "running requests are finished first"),
            Directive("KillMode", "mixed"),
            Directive("WatchdogSec", seconds(WATCHDOG), "a hanging engine is restarted"),
        )

    def _budget(self) -> tuple[Directive, ...]:
        budget = self.model.budget
        mlock = Directive("LimitMEMLOCK", str(budget.memory), "engine.mlock keeps the weights in memory")
        return (
            Directive(
                "MemoryMax", str(budget.memory), "no MemoryHigh: mapped weights count, it would thrash"
            ),
            Directive("MemorySwapMax", "0"),
            Directive("OOMPolicy", "stop"),
            Directive("CPUQuota", _percent(budget.cpus)),
            Directive("CPUWeight", _weight(budget.cpus), "in proportion to the budgets when all want more"),
            Directive("TasksMax", str(budget.tasks)),
            Directive("LimitNOFILE", "65536", "a connection each"),
            Directive("LimitCORE", "0", "a core dump would hold prompts"),
            *((mlock,) if self.model.engine.mlock else ()),
        )

    def _confinement(self) -> tuple[Directive, ...]:
        policy = sandbox.policy(self.stack, self.name)
        profile = (*self._budget(), *sandbox.directives(policy.profile, self._reach()))
        lines = sandbox.overridden(profile, policy.overrides, where=f"models.{self.name}")
        dynamic = any(line.name == "DynamicUser" and line.value == "yes" for line in lines)
        return lines if dynamic else (*lines, Directive("User", self.stack.defaults.user))

    def _reach(self) -> sandbox.Reach:
        files = [PurePosixPath(file.path) for file in self.resolved.files]
        access = [access_directory(self.layout)] if self.stack.clients else []
        return sandbox.Reach(
            root=root_directory(self.name, self.layout),
            readable=(
                config_path(self.name, self.layout),
                *access,
                *self._group(),
                *files,
                *self.runtime.directories,
            ),
            hidden=(PurePosixPath(self.layout.config), PurePosixPath(self.layout.state)),
            writable=[path for path in (self.cache, self.logs) if path is not None],
        )

    def _group(self) -> Iterator[PurePosixPath]:
        """Its group's locks, read-only: whoever may open a file may flock(2) it."""
        if self.model.group is not None:
            yield group_path(self.model.group, self.layout)


def _percent(cpus: float) -> str:
    return f"{max(1, round(cpus * 100))}%"


def _weight(cpus: float) -> str:
    """100 a core, inside what systemd takes."""
    return str(min(10_000, max(1, round(cpus * 100))))


def _slice(stack: Stack) -> str:
    """Totals of all models, and room for the second server of the largest blue-green change."""
    budgets = [model.budget for model in stack.models.values()]
    beside = [
        model.budget
        for model in stack.models.values()
        if (model.rollout or stack.defaults.rollout).strategy == "blue_green"
    ]
    memory = sum(budget.memory for budget in budgets) + max((budget.memory for budget in beside), default=0)
    cpus = sum(budget.cpus for budget in budgets) + max((budget.cpus for budget in beside), default=0.0)
    tasks = sum(budget.tasks for budget in budgets) + max((budget.tasks for budget in beside), default=0)
    totals = (
        Directive("MemoryMax", str(memory), "the sum of the models' budgets"),
        Directive("MemorySwapMax", "0"),
        Directive("CPUQuota", _percent(cpus)),
        Directive(
            "CPUWeight", str(SLICE_WEIGHT), "a decoding thread that waits for a core stalls all of them"
        ),
        Directive("TasksMax", str(tasks)),
    )
    about = Directive("Description", literal(f"Models of {stack.name}"))
    return unit(ABOUT, (Section("Unit", (about,)), Section("Slice", totals)))


def _target(stack: Stack) -> str:
    about = Directive("Description", literal(f"All models of {stack.name}"))
    return unit(
        ABOUT, (Section("Unit", (about,)), Section("Install", (Directive("WantedBy", "multi-user.target"),)))
    )


def _sysusers(stack: Stack, layout: Layout) -> str:
    """The group that may look at the state, and the user of a server whose DynamicUser= is lifted."""
    return f'# {ABOUT}\nu {stack.defaults.user} - "genesis-stack" {path_word(PurePosixPath(layout.state))}\n'


def _tmpfiles(stack: Stack, layout: Layout) -> str:
    """The directories that must exist before a unit starts; see tmpfiles.d(5)."""
    user = stack.defaults.user
    rows = [
        (layout.config, "0755", "root"),
        (layout.state, "0750", user),
        (layout.run, "0755", "root"),
        (layout.run / "root", "0755", "root"),
        *((root_directory(name, layout), "0755", "root") for name in stack.models),
    ]
    lines = [f"d {path_word(PurePosixPath(path))} {mode} root {group} -\n" for path, mode, group in rows]
    for group in sorted({model.group for model in stack.models.values() if model.group is not None}):
        locks = group_path(group, layout)
        lines += [f"d {path_word(path)} 0755 root root -\n" for path in (locks.parent, locks)]
        lines += [f"f {path_word(locks / name)} 0644 root root -\n" for name in GROUP_LOCKS]
    return f"# {ABOUT}\n" + "".join(lines)
