"""What a server may not do: the profiles of systemd directives, and what the stack sets on top of them.

Two profiles. `strict`: no network but the socket it is handed, and a root directory that holds the
system's libraries, its Python and its own model, nothing else. `standard`: the host's network reduced to
loopback and the host's files read-only, for servers that must reach something local.

See systemd.exec(5) and systemd.resource-control(5). Directives that were tried and found without effect
on Debian 12 (SocketBindDeny=, RestrictFileSystems=, IPAddressDeny= under cgroup v1) are listed only where
they cost nothing elsewhere: what a unit says is no proof, and `tests/hosts` tries the doors themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.render.unitfile import Directive, path_word
from genesis_stack.spec.effective import on_host
from genesis_stack.spec.model import Stack

Profile = Literal["strict", "standard"]
Override = str | Sequence[str] | None

MAX_EXPOSURE: Final[Mapping[Profile, float]] = {"strict": 0.2, "standard": 1.0}
"""Highest score of `systemd-analyze security` that a profile promises, from 0 (best) to 10."""

HOMES: Final = tuple(map(PurePosixPath, ("/home", "/root", "/run/user")))
"""What ProtectHome= covers."""

_IDENTITY: Final = (
    Directive("DynamicUser", "yes", "a user of its own that exists only while it runs"),
    Directive("NoNewPrivileges", "yes", "no setuid program can raise it"),
    Directive("CapabilityBoundingSet", "", "no capability, whatever it executes"),
    Directive("AmbientCapabilities", ""),
    Directive("PrivateUsers", "yes", "root and all other users do not exist inside"),
    Directive("UMask", "0077", "what it writes is its own"),
    Directive("KeyringMode", "private"),
    Directive("RemoveIPC", "yes"),
)
_FILES: Final = (
    Directive("ProtectSystem", "strict", "the whole tree is read-only"),
    Directive("PrivateTmp", "yes", "temporary files are its own and go with it"),
    Directive("PrivateDevices", "yes", "no device but null, zero, random and the like"),
    Directive("DevicePolicy", "closed"),
    Directive("PrivateMounts", "yes"),
    Directive("PrivateIPC", "yes"),
    Directive("ProtectProc", "invisible", "other processes cannot be seen"),
    Directive("ProcSubset", "pid", "/proc shows itself and nothing of the kernel"),
)
_KERNEL: Final = (
    Directive("ProtectClock", "yes"),
    Directive("ProtectControlGroups", "yes"),
    Directive("ProtectHostname", "yes"),
    Directive("ProtectKernelLogs", "yes"),
    Directive("ProtectKernelModules", "yes"),
    Directive("ProtectKernelTunables", "yes"),
    Directive("LockPersonality", "yes"),
    Directive("MemoryDenyWriteExecute", "yes", "memory is writable or executable, never both"),
    Directive("RestrictNamespaces", "yes"),
    Directive("RestrictRealtime", "yes"),
    Directive("RestrictSUIDSGID", "yes"),
    Directive("SystemCallArchitectures", "native"),
    Directive(
        "SystemCallFilter",
        ("@system-service", "~@privileged @resources @aio @pkey @keyring"),
        "memfd_create of @ipc stays: ctypes makes its callbacks there when nothing else is executable",
    ),
    Directive("SystemCallErrorNumber", "EPERM", "a probing library gets an error, not a signal"),
)
_NETWORK: Final[Mapping[Profile, Sequence[Directive]]] = {
    "strict": (
        Directive("PrivateNetwork", "yes", "it accepts on the socket it is handed and reaches nothing"),
        Directive("RestrictAddressFamilies", "AF_UNIX", "readiness is told over a Unix socket"),
        Directive("IPAddressDeny", "any"),
    ),
    "standard": (
        Directive("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6", "readiness, and TCP"),
        Directive("IPAddressDeny", "any", "loopback only"),
        Directive("IPAddressAllow", "localhost"),
    ),
}
_WRITABLE: Final = ("/dev/mqueue", "/dev/shm", "/run", "/tmp", "/var/tmp")  # noqa: S108 -- named to be closed

_JOURNAL: Final = "-/run/systemd/journal/socket"
"""Log lines go there with fields that journalctl matches; standard error, which is open anyway, has none."""

LISTS: Final = frozenset(
    {
        "AmbientCapabilities",
        "BindPaths",
        "BindReadOnlyPaths",
        "CapabilityBoundingSet",
        "DeviceAllow",
        "ExecPaths",
        "InaccessiblePaths",
        "IPAddressAllow",
        "IPAddressDeny",
        "NoExecPaths",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "RestrictAddressFamilies",
        "RestrictNetworkInterfaces",
        "SupplementaryGroups",
        "SystemCallFilter",
        "TemporaryFileSystem",
    }
)
"""Directives whose lines add up, in a drop-in as here; an empty line starts over."""

_CLASSIC: Final[Mapping[str, frozenset[str]]] = {
    "NoNewPrivileges": frozenset({"yes", "true", "on", "1"}),
    "PrivateTmp": frozenset({"yes", "true", "on", "1"}),
    "ProtectHome": frozenset({"yes", "true", "on", "1", "tmpfs"}),
    "ProtectSystem": frozenset({"strict"}),
}
"""What holds in every profile, with the values that keep it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the stack says about one model's sandbox, and the score that it may have."""

    profile: Profile
    max_exposure: float
    overrides: Mapping[str, Override]


@dataclass(frozen=True, slots=True)
class Reach:
    """The files that one server needs: `root` is an empty directory, `hidden` what it must not look into.

    `writable` are its own directories: cache and logs.
    """

    root: PurePosixPath
    readable: Sequence[PurePosixPath]
    hidden: Sequence[PurePosixPath]
    writable: Sequence[PurePosixPath]


def policy(stack: Stack, name: str) -> Policy:
    """The sandbox of model `name`."""
    said = stack.models[name].security or stack.security
    limit = MAX_EXPOSURE[said.profile] if said.max_exposure is None else said.max_exposure
    return Policy(said.profile, limit, said.directives)


def directives(profile: Profile, reach: Reach) -> tuple[Directive, ...]:
    """What a profile sets for a server that needs the files of `reach`, as lines of its [Service] section."""
    return (*_IDENTITY, *_NETWORK[profile], *_FILES, *_visible(profile, reach), *_KERNEL)


def watcher(*, local: bool) -> tuple[Directive, ...]:
    """What a program that watches may do: talk TCP, if `local` on this machine alone."""
    network = _NETWORK["standard"] if local else _NETWORK["standard"][:1]
    executable = (
        Directive("NoExecPaths", "/", "nothing it could write is executable"),
        Directive("ExecPaths", "/usr /lib -/lib64 -/bin"),
    )
    homes = Directive("ProtectHome", "yes", "homes cannot be entered")
    return (*_IDENTITY, *network, *_FILES, homes, *executable, *_KERNEL)


def observer() -> tuple[Directive, ...]:
    """What a program may do that looks at the whole host and changes nothing."""
    seeing = "reads files of others, and whose a listening socket is; nothing else of root's"
    identity = (
        Directive("User", "root"),
        Directive("CapabilityBoundingSet", "CAP_DAC_READ_SEARCH CAP_SYS_PTRACE", seeing),
        *(line for line in _IDENTITY if line.name in {"NoNewPrivileges", "UMask", "KeyringMode"}),
    )
    shown = {"ProtectProc", "ProcSubset"}
    files = (
        *(line for line in _FILES if line.name not in shown),
        Directive("ProtectHome", "read-only", "its Python may live there"),
    )
    return (*identity, *_NETWORK["standard"], *files, *_KERNEL)


def changer(writable: Sequence[str]) -> tuple[Directive, ...]:
    """What a program may do that changes this very host: write to `writable`, and talk to systemd and out."""
    changing = "writes and owns files of others, and sees whose a listening socket is"
    identity = (
        Directive("User", "root"),
        Directive(
            "CapabilityBoundingSet",
            "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_SYS_PTRACE",
            changing,
        ),
        *(line for line in _IDENTITY if line.name in {"NoNewPrivileges", "KeyringMode"}),
        Directive("UMask", "0022", "what it installs has the modes that an operator's apply gives it"),
    )
    network = Directive(
        "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK", "systemd, the repository, models"
    )
    hidden = {"ProtectProc", "ProcSubset", "PrivateMounts"}
    files = (
        *(line for line in _FILES if line.name not in hidden),
        Directive("ReadWritePaths", " ".join(writable), "what an apply installs"),
        Directive("ProtectHome", "read-only", "git and SSH find their keys there"),
    )
    calls = Directive("SystemCallFilter", "@system-service", "with chown(2), which installs files")
    kernel = (line for line in _KERNEL if line.name != "SystemCallFilter")
    return (*identity, network, *files, *kernel, calls)


def refuse_lifted(stack: Stack) -> None:
    """Hold every model's directives, on this machine and on each host, against what no stack may lift.

    Raises:
        GenesisError: one would lift a protection that holds in every profile.
    """
    for name in stack.models:
        _keep_classic(policy(stack, name).overrides, f"models.{name}")
    for host in stack.hosts:
        part = on_host(stack, host)
        for name in part.models:
            _keep_classic(policy(part, name).overrides, f"hosts.{host}.overrides.{name}")


def overridden(
    lines: Sequence[Directive], overrides: Mapping[str, Override], where: str
) -> tuple[Directive, ...]:
    """The lines with the stack's own word on top: values replaced, lists added to, None lifted.

    Raises:
        GenesisError: that would lift what holds in every profile; `where` is the model's place in the stack.
    """
    _keep_classic(overrides, where)
    kept = tuple(
        line
        for line in lines
        if line.name not in overrides or (line.name in LISTS and overrides[line.name] is not None)
    )
    added = tuple(
        Directive(name, value if isinstance(value, str) else tuple(value), "set in stack.yaml")
        for name, value in overrides.items()
        if value is not None
    )
    return (*kept, *added)


def _visible(profile: Profile, reach: Reach) -> tuple[Directive, ...]:
    at_home = any(path.is_relative_to(home) for path in reach.readable for home in HOMES)
    homes = (
        Directive("ProtectHome", "tmpfs", "homes are empty but for the Python that lives there")
        if at_home
        else Directive("ProtectHome", "yes", "homes cannot be entered")
    )
    binds = tuple(path_word(path) for path in reach.readable)
    writable = (*_WRITABLE, *map(str, reach.writable))
    hidden = (
        homes,
        Directive(
            "TemporaryFileSystem",
            tuple(f"{path_word(path)}:ro" for path in reach.hidden),
            "the other models, their configs and the state of genesis-stack are not there",
        ),
        Directive(
            "NoExecPaths", tuple(f"-+{path}" for path in writable), "nothing it could write is executable"
        ),
    )
    if profile == "standard":
        return (*hidden, Directive("BindReadOnlyPaths", binds, "its model, config and Python"))
    system = ("/usr", "/lib", "-/lib64", "-/bin", _JOURNAL)
    return (
        Directive(
            "RootDirectory", path_word(reach.root), "an empty directory: only what is bound below exists"
        ),
        Directive("MountAPIVFS", "yes"),
        *hidden,
        Directive(
            "BindReadOnlyPaths",
            (*system, *binds),
            "the system's libraries, the journal, its model, config and Python",
        ),
    )


def _keep_classic(overrides: Mapping[str, Override], where: str) -> None:
    for name, value in overrides.items():
        lines = [] if value is None else [value] if isinstance(value, str) else list(value)
        match name:
            case "RestrictAddressFamilies":
                held = bool(lines) and not any(
                    line.strip() in {"", "~"} or line.strip()[0] == "~" for line in lines
                )
                want = "list the families that may be used"
            case name if name in _CLASSIC:
                held = bool(lines) and lines[-1] in _CLASSIC[name]
                want = f"leave it, or set it to {' or '.join(sorted(_CLASSIC[name] - {'true', 'on', '1'}))}"
            case _:
                continue
        if not held:
            raise GenesisError(
                f"{where}: security.directives.{name} would lift a protection that holds in every profile",
                hint=want,
                exit_code=ExitCode.INVALID_CONFIG,
            )
