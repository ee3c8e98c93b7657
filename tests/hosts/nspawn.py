"""A booted Debian of its own: files, processes, units, limits, network; gone when it stops.

systemd-nspawn boots the cached root under a writable layer in memory. `--private-users=identity` makes the
cgroup controllers writable inside, so that limits are enforced and not just shown; see systemd-nspawn(1).
"""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from waiting import until

from genesis_stack.process import Completed, run
from hosts import measuring
from hosts.cgroup import own_cgroup, unified

BOOT_DEADLINE: Final = 240.0
STOP_DEADLINE: Final = 90.0
NAMESPACES: Final = ("-m", "-u", "-i", "-n", "-p", "-C")
ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    **measuring.ENVIRONMENT,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Host:
    """A running host; `leader` is the process id of its systemd as seen from here."""

    leader: int

    def run(
        self,
        argv: Sequence[object],
        *,
        check: bool = True,
        input_text: str | None = None,
        timeout: float = 240.0,
    ) -> Completed:
        """Run a program as the host's root, its words as text; see `genesis_stack.process.run`."""
        return run(self.entering(argv), check=check, input_text=input_text, env=ENVIRONMENT, timeout=timeout)

    def start(self, argv: Sequence[object]) -> subprocess.Popen[str]:
        """Start a program as the host's root and leave it running; it ends with the host at the latest."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.entering(argv), stdin=pipe, stdout=pipe, env=ENVIRONMENT, text=True)

    def entering(self, argv: Sequence[object]) -> tuple[str, ...]:
        """The command, run from here, that runs a program inside."""
        return ("nsenter", "-t", str(self.leader), *NAMESPACES, "--", *map(str, argv))

    def write(self, path: str | PurePosixPath, content: str, *, mode: int = 0o644) -> None:
        """Write a file and the directories that lead to it."""
        self.run(["install", "-D", "-m", f"{mode:o}", "/dev/stdin", path], input_text=content)

    def read(self, path: str | PurePosixPath) -> str:
        """The content of a file."""
        return self.run(["cat", path]).stdout

    def exists(self, path: str | PurePosixPath) -> bool:
        """Whether the path is there."""
        return self.run(["test", "-e", path], check=False).returncode == 0

    def systemctl(self, *words: str, check: bool = True) -> Completed:
        """Ask the host's service manager."""
        return self.run(["systemctl", "--no-pager", *words], check=check)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit, as `systemctl show` prints them."""
        shown = self.systemctl("show", unit, *(f"--property={name}" for name in properties)).stdout
        return dict(line.split("=", 1) for line in shown.splitlines())

    def wait_for(self, condition: Callable[[], T | None], *, deadline: float = 300.0, what: str) -> T:
        """Wait for a condition; a failure shows the end of the journal."""
        try:
            return until(condition, what, seconds=deadline)
        except AssertionError as error:
            journal = self.run(["journalctl", "--no-pager", "-n", "40"], check=False).stdout
            raise AssertionError(f"{error}\n{journal}") from None


@contextmanager
def boot(root: Path, *, read_only: Sequence[Path] = ()) -> Iterator[Host]:
    """Boot a host from `root`, which stays as it is; it stops when the context ends.

    Args:
        root: what `debian_root` gives; several hosts may run from one.
        read_only: files and directories of this machine that the host sees at the same place.
    """
    name = f"genesis-host-{uuid.uuid4().hex[:8]}"
    with ExitStack() as cleanup:
        groups = cleanup.enter_context(own_cgroup(name))
        nspawn = _start(root, name, groups, read_only)
        cleanup.callback(_stop, nspawn)
        leader = until(lambda: _leader(nspawn), "the host's systemd", seconds=BOOT_DEADLINE)
        host = Host(leader)
        until(lambda: host.exists("/run/systemd/private"), "its manager", seconds=BOOT_DEADLINE)
        host.systemctl("is-system-running", "--wait", check=False)
        host.systemctl("set-environment", "GOMP_SPINCOUNT=1000")  # a model is not alone on this machine
        yield host


def _start(
    root: Path, name: str, groups: Sequence[Path], read_only: Sequence[Path]
) -> subprocess.Popen[bytes]:
    enter = (
        'for group; do shift; [ "$group" = -- ] && break; echo $$ > "$group/cgroup.procs"; done; exec "$@"'
    )
    nspawn = (
        *("systemd-nspawn", "--quiet", "--boot", f"--directory={root}", f"--machine={name}"),
        *("--volatile=overlay", "--private-network", "--private-users=identity"),
        *("--register=no", "--keep-unit", "--console=pipe"),
        *(f"--bind-ro={path}" for path in read_only),
        *(f"--bind={path}" for path in measuring.FOLDERS),
    )
    words = ("sh", "-c", enter, "sh", *map(str, groups), "--", "setpriv", "--pdeathsig", "TERM", *nspawn)
    quirk = {} if unified() else {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0"}
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | quirk,
    )


def _leader(nspawn: subprocess.Popen[bytes]) -> int | None:
    """The host's process 1, once it is systemd and no longer nspawn preparing it."""
    if nspawn.poll() is not None:
        raise AssertionError(f"systemd-nspawn ended with {nspawn.returncode}")
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
    for child in children:
        try:
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return int(child)
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
    return None


def _stop(nspawn: subprocess.Popen[bytes]) -> None:
    """Shut the host down (SIGRTMIN+4 is poweroff to systemd), or kill it if it does not come to an end."""
    if (leader := _leader_if_any(nspawn)) is not None:
        os.kill(leader, signal.SIGRTMIN + 4)
    try:
        nspawn.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()


def _leader_if_any(nspawn: subprocess.Popen[bytes]) -> int | None:
    try:
        return _leader(nspawn)
    except AssertionError:
        return None
