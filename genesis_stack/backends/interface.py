"""What the reconciler may ask of a process manager: observe, check, reload, start, restart, stop, logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final, Literal, Protocol, Self

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.render import RenderedFile, ResolvedModel
from genesis_stack.render.monitoring.programs import Program
from genesis_stack.spec.model import Stack


@dataclass(frozen=True, slots=True)
class Service:
    """One model's server as it must run.

    `weights` and `config` are the SHA-256 digests that `/health` must echo, `config` being that of the
    rendered config's bytes. `memory` is the budget in bytes, `max_exposure` the worst score that systemd may
    give its sandbox, from 0 to 10. `restart_on` and `rebind_on` are the rendered
    files whose change restarts the server, or closes and opens its port; `reread` are those that it reads
    again by itself. `secrets` are the names of those that the host must keep for it. With `tls` it speaks
    HTTPS. Times are seconds.
    """

    model: str
    host: str
    port: int
    weights: str
    config: str
    memory: int
    strategy: Literal["queue", "blue_green"]
    min_healthy: float
    deadline: float
    drain: float
    max_exposure: float
    restart_on: tuple[PurePosixPath, ...]
    rebind_on: tuple[PurePosixPath, ...] = ()
    reread: tuple[PurePosixPath, ...] = ()
    secrets: tuple[str, ...] = ()
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Monitor:
    """One program that watches the servers, as it must run.

    Its name holds a dot, which no model's can. A change of a file in `reload_on` makes it read its
    configuration again, one in `restart_on` starts it anew. `secrets` are files that it must find,
    `program` is what it runs; it finds `credentials`, secret files, under other names. Its metrics are on
    `metrics_port` if not on `port`. With `front` clients come through it, so that it is never stopped first.
    """

    name: str
    host: str
    port: int
    reload_on: tuple[PurePosixPath, ...]
    restart_on: tuple[PurePosixPath, ...]
    secrets: tuple[PurePosixPath, ...] = ()
    program: str = ""
    credentials: tuple[tuple[str, PurePosixPath], ...] = ()
    metrics_port: int | None = None
    front: bool = False

    @property
    def ports(self) -> tuple[int, ...]:
        """What it listens on; a timer, whose port is 0, on none."""
        if self.port == 0:
            return ()
        return (self.port,) if self.metrics_port is None else (self.port, self.metrics_port)

    @property
    def steady(self) -> bool:
        """Whether a change replaces it in one move: clients come through it, or a crash must not lose it."""
        return self.front or not self.ports

    @classmethod
    def of(cls, program: Program, restart_on: PurePosixPath, secrets: Path) -> Self:
        """A rendered program with its secrets in a directory; a changed `restart_on` starts it anew."""
        folder = PurePosixPath(secrets)
        credentials = tuple((name, folder / secret) for name, secret in program.credentials)
        return cls(
            name=program.name,
            host=program.host,
            port=program.port,
            reload_on=program.configs,
            restart_on=(restart_on,),
            secrets=(*(folder / name for name in program.secrets), *(path for _, path in credentials)),
            program=program.argv[0],
            credentials=credentials,
            metrics_port=program.metrics_port,
            front=program.reach == "front",
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """A program of somebody else's that reads files of ours; a POST to `url` makes it read them again."""

    url: str
    files: tuple[PurePosixPath, ...]


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything a host must have and run; it renders once and is then what a generation stores.

    `digests` are the model files that must stay in the store.
    """

    name: str
    source: str
    files: Mapping[PurePosixPath, RenderedFile]
    services: Mapping[str, Service]
    digests: tuple[str, ...]
    monitors: Mapping[str, Monitor] = field(default_factory=dict)
    reader: Reader | None = None

    @classmethod
    def nothing(cls) -> Desired:
        """A host without us."""
        return cls("", "", {}, {}, ())


SERVING: Final = frozenset({"ready", "unloaded"})
"""What a server says of itself that answers requests."""


@dataclass(frozen=True, slots=True)
class Health:
    """One answer of `/health`.

    `status` is `starting`, `ready`, `unloaded`, `draining`, `failed` or `unreachable`. `access` is
    the digest of the clients and keys in force, empty where none are declared.
    """

    status: str
    weights: str = ""
    config: str = ""
    detail: str = ""
    access: str = ""

    @property
    def serving(self) -> bool:
        """Whether requests are answered: at once, or after a model that was idle is loaded again."""
        return self.status in SERVING

    def serves(self, service: Service) -> bool:
        """Whether this is the server that the stack asks for, and serves."""
        return self.serving and (self.weights, self.config) == (service.weights, service.config)


class Phase(StrEnum):
    """What a process manager says of a server; whether it serves is `/health`'s to say."""

    RUNNING = "running"  # the process lives
    STARTING = "starting"  # the start job has not ended
    STOPPED = "stopped"  # on purpose
    FAILED = "failed"  # gave up
    ABSENT = "absent"  # not known


@dataclass(frozen=True, slots=True)
class ObservedService:
    """One server as it is.

    `since` is a UNIX time, `memory` the bytes in use. `enabled` tells whether it comes back after a boot,
    `listening` whether its port is open. `stale` means that the manager has not read the files on disk.
    `limits` holds pairs (declared, effective) of limits that differ.
    """

    phase: Phase
    pid: int | None = None
    since: float | None = None
    restarts: int = 0
    memory: int | None = None
    enabled: bool = True
    listening: bool = True
    stale: bool = False
    limits: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that holds a TCP port; without permission to look, only its user is known."""

    port: int
    pid: int | None
    name: str | None
    uid: int

    def __str__(self) -> str:
        if self.pid is None:
            return f"a process of user {self.uid}"
        return f"process {self.pid} ({self.name})"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file that changes one of our services and that we did not write, such as a drop-in.

    `model` is the model, or the monitor, that it changes; None where it is none of them alone.
    """

    path: Path
    model: str | None
    content: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What the host has now.

    `files` maps each path asked for to its content, None when missing. `modes` holds the permission bits.
    `listeners` are strangers on ports that the stack declares.
    """

    files: Mapping[PurePosixPath, str | None]
    modes: Mapping[PurePosixPath, int]
    services: Mapping[str, ObservedService]
    foreign: tuple[Foreign, ...] = ()
    listeners: Mapping[int, Listener] = field(default_factory=dict)
    monitors: Mapping[str, ObservedService] = field(default_factory=dict)


class LintError(GenesisError):
    """A staged file does not pass its own tool; nothing has been touched."""

    exit_code = ExitCode.FAILED


class Backend(Protocol):
    """One process manager. Methods that change something raise GenesisError or ProcessError on failure."""

    @property
    def name(self) -> str:
        """`systemd` or `embedded`."""

    @property
    def unenforced(self) -> tuple[str, ...]:
        """What a stack declares and this process manager cannot hold, one sentence each."""

    @property
    def hands_over_secrets(self) -> bool:
        """Whether servers get their secrets at their start, so that a new one needs a restart."""

    @property
    def caches(self) -> tuple[Path, ...]:
        """Directories outside of the layout that servers fill and can fill again."""

    @property
    def logs(self) -> tuple[Path, ...]:
        """Directories below which each server has one for its audit record; the first may only link there."""

    def render(self, stack: Stack, resolved: Mapping[str, ResolvedModel]) -> tuple[RenderedFile, ...]:
        """Everything that the stack needs on disk."""

    def triggers(self, model: str) -> tuple[tuple[PurePosixPath, ...], tuple[PurePosixPath, ...]]:
        """The rendered files whose change restarts a model, and those whose change reopens its port."""

    def live(self, path: PurePosixPath) -> Path:
        """Where a rendered file stands on this machine."""

    def observe(self, desired: Desired, known: Sequence[PurePosixPath]) -> Observation:
        """Everything in one batch: the services and ports of `desired`, and the files of it and `known`."""

    def processes(self, services: Mapping[str, Service]) -> Mapping[str, ObservedService]:
        """The servers alone, for a gate that looks often."""

    def health(self, service: Service) -> Health:
        """What the server says of itself; never raises."""

    def lint(self, staged: Path, desired: Desired) -> None:
        """Check the files below `staged`, laid out as on the host; raises LintError."""

    def remark(self, path: PurePosixPath, before: str | None, after: str) -> str:
        """What a changed file means beyond its diff, such as another exposure; empty for nothing."""

    def reload(self, desired: Desired) -> None:
        """Make the manager read the files on disk and open the ports; running servers are not touched."""

    def release(self, model: str) -> None:
        """Stop a server and close its port, so that it can be removed or moved."""

    def start(self, service: Service) -> None:
        """Start a server, and let it come back after a boot where the manager can."""

    def restart(self, service: Service) -> None:
        """Restart a server while its port stays open."""

    def stop(self, model: str) -> None:
        """Stop a server and close its port; files stay."""

    def start_beside(self, service: Service) -> None:
        """Start a second server with the files on disk, on the same socket as the running one."""

    def finish_beside(self, service: Service, *, keep_new: bool) -> None:
        """End one of the two: the old one, or the new one when it did not become ready."""

    def monitors(self, stack: Stack) -> tuple[Monitor, ...]:
        """The programs that watch the stack here, in the order in which they start."""

    def start_monitor(self, monitor: Monitor) -> None:
        """Start a program that watches, and let it come back after a boot where the manager can."""

    def reload_monitor(self, monitor: Monitor) -> None:
        """Let it read its configuration again, without a gap."""

    def stop_monitor(self, name: str) -> None:
        """Stop it and forget it; its data stay."""

    def forget_monitor(self, name: str) -> None:
        """Stop it and remove its data."""

    def shutdown(self) -> None:
        """End what watches, and the process manager itself where it is ours."""

    def log_tail(self, model: str, lines: int) -> list[str]:
        """The last lines of a model's log."""

    def follow_log(self, model: str, lines: int) -> Iterator[str]:
        """The last lines of a model's log, and new ones until interrupted."""
