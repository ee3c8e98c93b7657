"""The root directory that every test host boots from: built once, cached, never written."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from genesis_stack.process import run

SUITE: Final = "bookworm"
PACKAGES: Final = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "python3",  # what probes are written in
    "python3-venv",  # what genesis-stack is installed with
    "git",  # what the agent follows
    "haproxy",  # the gateway
    "procps",
    "iproute2",
    "libgomp1",  # llama.cpp's OpenMP
    "openssh-server",  # verification from another machine
)
CACHE: Final = Path(__file__).parents[2] / ".cache" / "hosts"


def debian_root() -> Path:
    """The cached root; the first call builds it, which takes minutes."""
    recipe = hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]
    root = CACHE / f"{SUITE}-{recipe}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            scratch = Path(tempfile.mkdtemp(dir=CACHE, prefix="build-"))
            scratch.chmod(0o755)
            _build(scratch)
            scratch.rename(root)
    return root


def _build(root: Path) -> None:
    include = f"--include={','.join(PACKAGES)}"
    run(["debootstrap", "--variant=minbase", include, SUITE, root, *_mirror()], timeout=1200)
    run(["systemctl", f"--root={root}", "disable", "haproxy.service"])  # ours is a unit of the stack
    shutil.rmtree(root / "var/cache/apt/archives")
    shutil.rmtree(root / "var/lib/apt/lists")


def _mirror() -> list[str]:
    """Where apt itself is told to find the suite; debootstrap's own default where it is not."""
    told = run(["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"], check=False)
    archives = (line.split(maxsplit=2) for line in told.stdout.splitlines())
    return [uri for release, component, uri in archives if (release, component) == (SUITE, "main")][:1]


if __name__ == "__main__":
    debian_root()
