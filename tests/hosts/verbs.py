"""What an operator does on a booted host, with this environment's programs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from program import GENESIS_STACK
from small_model import DIGEST

from genesis_stack.layout import Layout
from genesis_stack.process import Completed
from genesis_stack.protocol.serve_config import FileRef
from genesis_stack.render import ResolvedModel, Runtime, systemd
from genesis_stack.spec.model import Stack
from hosts.nspawn import Host

STACK: Final = "/root/stack.yaml"


def cli(host: Host, *words: str, timeout: float = 600.0) -> Completed:
    """Run `genesis-stack` inside; the caller looks at how it ended."""
    return host.run([GENESIS_STACK, *words, "--backend", "systemd"], check=False, timeout=timeout)


def applied(host: Host, text: str) -> Completed:
    """Write a stack and apply it."""
    host.write(STACK, text)
    return cli(host, "apply", STACK)


def exposure(host: Host, unit: str) -> float:
    """The score that the host's systemd gives a loaded unit, from 0 to 10."""
    said = host.run(["systemd-analyze", "security", "--no-pager", unit], check=False).stdout
    return float(said.rsplit(": ", 1)[1].split()[0])


def install_units(host: Host, stack: Stack, weights: Path) -> None:
    """Put the units of a stack in place, all of whose models are SmolLM2, and start none of them."""
    model = ResolvedModel(FileRef(path=str(weights), sha256=DIGEST, size=weights.stat().st_size))
    resolved = dict.fromkeys(stack.models, model)
    for file in systemd.render(stack, resolved, Layout.system(), Runtime.this()):
        host.write(file.path, file.content, mode=file.mode)
    host.run(["systemd-sysusers"])
    host.run(["systemd-tmpfiles", "--create", systemd.TMPFILES.name])
    host.systemctl("daemon-reload")
