"""What Prometheus's own tools say of rendered rules and configs, on hosts that have these tools."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from genesis_stack import process
from genesis_stack.backends.interface import LintError, Monitor

CHECKS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("*.rules.yml", ("promtool", "check", "rules")),
    ("prometheus.yml", ("promtool", "check", "config")),
    ("alertmanager.yml", ("amtool", "check-config")),
)
"""Names of rendered files, and the command that checks one (promtool(1), amtool(1))."""


def lint_monitoring(staged: Path, monitors: Iterable[Monitor] = ()) -> None:
    """Check every rule file and config below `staged`, and that programs and secrets of `monitors` are there.

    Raises:
        LintError: a program or a secret is missing; or what the tool said of the first file that it refuses.
    """
    for monitor in monitors:
        if monitor.front:
            continue
        if shutil.which(monitor.program) is None:
            way = f"install it (Debian: apt install {Path(monitor.program).name}), or set mode: external"
            raise LintError(f"{monitor.name}: there is no {monitor.program}: {way}")
        for secret in monitor.secrets:
            if not Path(secret).is_file():
                raise LintError(f"{monitor.name}: the secret {secret.name} is missing: write it to {secret}")
    for pattern, command in CHECKS:
        if shutil.which(command[0]) is None:
            continue
        for file in sorted(staged.rglob(pattern)):
            checked = process.run([*command, file], check=False)
            if checked.returncode != 0:
                said = (checked.stderr or checked.stdout).strip()
                raise LintError(f"{' '.join(command)} {file.name}: {said}")
