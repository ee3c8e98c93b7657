"""What HAProxy says of a rendered configuration, and the secrets that it is handed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from genesis_stack import durable, process
from genesis_stack.backends.interface import LintError, Monitor
from genesis_stack.render.embedded import SYSTEM_PROGRAMS

Credentials = Iterable[tuple[str, PurePosixPath]]
"""Names under which a program finds secrets, and their files."""


def lint_gateway(staged: Path, monitors: Iterable[Monitor]) -> None:
    """Check the configuration of the gateway below `staged`, if this host runs one, with HAProxy itself.

    Raises:
        LintError: HAProxy is missing, or a secret, or what HAProxy said of the file that it refuses.
    """
    for monitor in monitors:
        if not monitor.front:
            continue
        program = shutil.which(monitor.program, path=search_path())
        if program is None:
            way = "install it (Debian: apt install haproxy), or take `gateway` out of the stack"
            raise LintError(f"{monitor.name}: there is no {monitor.program}: {way}")
        for secret in monitor.secrets:
            if not Path(secret).is_file():
                raise LintError(f"{monitor.name}: the secret {secret.name} is missing: write it to {secret}")
        for path in monitor.reload_on:
            _check(program, staged / path.relative_to("/"), monitor.credentials)


def hand_over(credentials: Credentials, folder: Path) -> None:
    """Put secrets into a directory under the names that a program looks for, as links to their files."""
    durable.mkdir(folder, 0o700)
    for name, secret in credentials:
        durable.symlink(folder / name, str(secret))


def search_path() -> str:
    """Where programs are looked for: also where distributions keep those for root."""
    return f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PROGRAMS}"


def _check(program: str, config: Path, credentials: Credentials) -> None:
    with tempfile.TemporaryDirectory(prefix="genesis-stack-") as folder:
        for name, secret in credentials:
            (Path(folder) / name).symlink_to(secret)
        environment = {**os.environ, "CREDENTIALS_DIRECTORY": folder}
        checked = process.run([program, "-c", "-f", config], check=False, env=environment)
    if checked.returncode != 0:
        raise LintError(f"haproxy -c {config.name}: {(checked.stderr or checked.stdout).strip()}")
