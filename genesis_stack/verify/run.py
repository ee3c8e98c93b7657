"""Runs the checks of `infra_tests/` in a pytest of their own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import genesis_stack
from genesis_stack import process
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.modelstore.here import host_here
from genesis_stack.modelstore.host import read_host
from genesis_stack.spec.load import load
from genesis_stack.verify.report import Report, read_report

PATIENCE: Final = 900.0
"""Seconds for all checks; most of it is hashing model files on a slow disk."""
ALONE: Final = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p testinfra.plugin"}
"""Whatever else is installed for pytest has no part in this."""
NEEDED: Final = ("pytest", "testinfra")
WAYS: Final = {
    "ansible": ("ansible-inventory", "pip install ansible-core"),
    "docker": ("docker", "install Docker's command line"),
    "podman": ("podman", "apt install podman"),
    "ssh": ("ssh", "apt install openssh-client"),
}
"""By the scheme of an address: the program that testinfra runs here, and where it comes from."""


@dataclass(frozen=True, slots=True)
class Run:
    """What to check and how to get there; `host` is a name of the stack or an address of testinfra's."""

    stack: Path
    host: str | None = None
    sudo: bool = False
    ssh_config: Path | None = None
    junit: Path | None = None
    test_alert: bool = False


def checks_folder() -> Path:
    """Where the checks are: in the package, or beside it in a checkout."""
    package = Path(genesis_stack.__file__).parent
    installed = package / "infra_tests"
    return installed if installed.is_dir() else package.parent / "infra_tests"


def run_checks(run: Run) -> Report:
    """Run all checks and return what they found.

    Raises:
        GenesisError: the host cannot be reached or looked at, or the checks cannot run.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        hint = "pip install 'genesis-stack[verify]'"
        raise GenesisError(f"the checks need {' and '.join(missing)}", hint=hint)
    _check_way(_address(run))
    with tempfile.TemporaryDirectory(prefix="genesis-verify-") as scratch:
        target = Path(scratch) / "report.json"
        argv = [*_argv(run), f"--report-json={target}"]
        done = process.run(argv, check=False, env=os.environ | ALONE | {"PATH": _path()}, timeout=PATIENCE)
        if done.returncode not in {0, 1} or not target.exists():
            raise _failure(done)
        return read_report(target)


def _path() -> str:
    """Where programs are looked for: `ansible` may be installed beside us alone."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _check_way(address: str) -> None:
    scheme = address.partition("://")[0]
    program, source = WAYS.get(scheme, ("", ""))
    if program and shutil.which(program, path=_path()) is None:
        raise GenesisError(f"{scheme}:// needs {program}, which is not installed here", hint=source)


def _argv(run: Run) -> list[str | Path]:
    folder = checks_folder()
    words: list[str | Path] = [sys.executable, "-m", "pytest", folder, "-c", folder / "pytest.ini", "-q"]
    words += [f"--stack={run.stack}", f"--hosts={_address(run)}"]
    if (name := _name(run)) is not None:
        words.append(f"--as-host={name}")
    if run.sudo:
        words.append("--sudo")
    if run.ssh_config is not None:
        words.append(f"--ssh-config={run.ssh_config}")
    if run.junit is not None:
        words.append(f"--junit-xml={run.junit}")
    return [*words, "--test-alert"] if run.test_alert else words


def _name(run: Run) -> str | None:
    """Which host of the stack is looked at; None where the stack names none, or not this address."""
    stack = load(run.stack)
    if run.host is None or run.host == "localhost":
        return host_here(stack, read_host())
    if run.host in stack.hosts:
        return run.host
    return next((name for name, entry in stack.hosts.items() if entry.address == run.host), None)


def _address(run: Run) -> str:
    """Where testinfra finds the host."""
    if run.host is None:
        return "local://"
    if run.host == "localhost" or "://" in run.host:
        return "local://" if run.host == "localhost" else run.host
    entry = load(run.stack).hosts.get(run.host)
    if entry is None or entry.address is None:
        what = "has no address in the stack" if entry else "is no host of the stack"
        hint = "give its address: --host ssh://root@HOST"
        raise GenesisError(f"{run.host} {what}", hint=hint, exit_code=ExitCode.USAGE)
    return entry.address


def _failure(done: process.Completed) -> GenesisError:
    """What pytest's last words say; `Exit: …` is ours."""
    lines = (done.stdout + done.stderr).strip().splitlines()
    for at, line in enumerate(lines):
        if "_pytest.outcomes.Exit: " in line or line.startswith("ERROR: "):
            said = line.partition("Exit: ")[2] or line.removeprefix("ERROR: ")
            hint = lines[at + 1].partition("hint: ")[2] if at + 1 < len(lines) else ""
            return GenesisError(said.strip(" !"), hint=hint.strip(" !") or None)
    return GenesisError("the checks did not come to an end\n  " + "\n  ".join(lines[-20:]))
