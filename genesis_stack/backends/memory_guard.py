"""Restart servers that use more memory than their budget, where no kernel limit can be set for them.

A circus plugin: the arbiter runs it as a process of its own and hands it the options of its ini section.
It reads the budgets from the servers' configs, so that a changed budget needs no restart of the guard.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from circus.plugins import CircusPlugin
from tornado.ioloop import PeriodicCallback

from genesis_stack.backends import procfs

PERIOD_MS: Final = 2000.0
"""Milliseconds between two looks."""
PATIENCE: Final = 2
"""Looks in a row above the budget before a restart: a short peak is no leak."""
EVENTS_BYTES: Final = 1024 * 1024
"""Size at which the events file is put aside; one older one is kept."""


class MemoryGuard(CircusPlugin):  # type: ignore[misc]  # circus has no types
    """Looks at every server's resident memory and restarts the ones above their budget."""

    name = "memory-guard"

    def __init__(self, *args: Any, **config: str) -> None:
        super().__init__(*args, **config)
        self.configs = Path(config["configs"])
        self.events = Path(config["events"])
        self.strikes: dict[tuple[str, int], int] = {}

    def handle_init(self) -> None:
        """Begin to look, in the plugin's own loop."""
        self.period = PeriodicCallback(self.look, PERIOD_MS)
        self.period.start()

    def handle_stop(self) -> None:
        """End with the arbiter."""
        self.period.stop()

    def handle_recv(self, data: object) -> None:
        """Events of watchers do not matter here."""

    def look(self) -> None:
        """Compare every process with its budget once."""
        budgets = read_budgets(self.configs)
        strikes: dict[tuple[str, int], int] = {}
        for model, pid, used in self.processes():
            if used <= budgets.get(model, used):
                continue
            strikes[model, pid] = self.strikes.get((model, pid), 0) + 1
            if strikes[model, pid] == PATIENCE:
                record(self.events, model, pid, used, budgets[model])
                self.cast("restart", name=model)
        self.strikes = strikes

    def processes(self) -> Iterator[tuple[str, int, int]]:
        """Model, process id and resident bytes of every server."""
        infos: Mapping[str, Mapping[str, object]] = self.call("stats").get("infos", {})
        for model, pids in infos.items():
            for pid in pids:
                used = procfs.resident(int(pid))
                if used is not None:
                    yield model, int(pid), used


def read_budgets(configs: Path) -> dict[str, int]:
    """Memory budget in bytes of every model that has a config; unreadable ones are left out."""
    budgets = {}
    for path in configs.glob("*.json"):
        try:
            budgets[path.stem] = int(json.loads(path.read_text())["budget"]["memory"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return budgets


def record(events: Path, model: str, pid: int, used: int, budget: int) -> None:
    """Append what happened, for `status` and for whoever reads logs."""
    event = {
        "time": round(time.time(), 3),
        "model": model,
        "event": "memory_budget_exceeded",
        "message": f"restarted: {used / 2**20:.0f} MiB used, budget {budget / 2**20:.0f} MiB",
        "pid": pid,
        "used_bytes": used,
        "budget_bytes": budget,
    }
    if events.exists() and events.stat().st_size > EVENTS_BYTES:
        events.rename(events.with_suffix(".jsonl.1"))
    with events.open("a") as file:
        file.write(json.dumps(event) + "\n")
