"""One measured run: `in_sync.py VERB STACK ROOT`, against a host below ROOT that matches the stack."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genesis_stack.process import Completed
    from genesis_stack.reconcile.apply import Host
    from genesis_stack.spec.model import Stack


def host_below(root: Path) -> Host:
    """A host of systemd's backend, with its files below `root`."""
    from genesis_stack.backends.systemd import SystemdBackend
    from genesis_stack.layout import Layout
    from genesis_stack.reconcile.apply import Host

    class Below(SystemdBackend):
        def live(self, path: PurePosixPath) -> Path:
            return Path(path) if path.is_relative_to(root) else root / path.relative_to("/")

    layout = Layout.under(root)
    return Host(layout, Below(layout), lambda _: None)


def systemctl(stack: Stack) -> Callable[..., Completed]:
    """Answers as a systemd would that runs the whole stack."""
    from genesis_stack.backends.units import PROPERTIES
    from genesis_stack.process import Completed

    running = {
        "LoadState": "loaded",
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "NeedDaemonReload": "no",
        "DropInPaths": "",
        "CPUQuotaPerSecUSec": "infinity",
    }
    limits: Mapping[str, Mapping[str, str]] = {
        f"{name}-server.service": {
            "MemoryMax": str(model.budget.memory),
            "TasksMax": str(model.budget.tasks),
            "CPUQuotaPerSecUSec": f"{model.budget.cpus}s",
        }
        for name, model in stack.models.items()
    }

    def show(argv: list[object], **_: object) -> Completed:
        blocks = []
        for unit in map(str, argv[3:]):
            values = dict.fromkeys(PROPERTIES, "0") | {"Id": unit} | running | limits.get(unit, {})
            blocks.append("".join(f"{name}={value}\n" for name, value in values.items()))
        return Completed((), 0, "\n".join(blocks), "")

    return show


def install(host: Host, stack: Stack, source: str) -> None:
    """Make the files and the state of a host where the stack is in force."""
    from genesis_stack.reconcile.desired import desire
    from genesis_stack.reconcile.generations import Generations
    from genesis_stack.reconcile.state import State, write_state

    desired = desire(stack, source, host.backend, host.layout)
    for file in desired.files.values():
        path = host.backend.live(file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)
        path.chmod(file.mode)
    generations = Generations(host.layout)
    generations.set_current(generations.add(desired))
    write_state(host.layout, State(inventory=tuple(desired.files)))


def main() -> None:
    """Do one verb: `install` makes the host, `plan` and `apply` find nothing to do there."""
    verb, stack_path, root = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if verb == "nothing":
        return
    from genesis_stack import process
    from genesis_stack.backends import ports
    from genesis_stack.modelstore.store import Store
    from genesis_stack.spec.load import load

    host = host_below(root)
    stack, source = load(stack_path), stack_path.read_text()
    ports.strangers = lambda *_: {}  # type: ignore[assignment]
    process.run = systemctl(stack)  # type: ignore[assignment]
    Store.verified = lambda *_: True  # type: ignore[method-assign,assignment]
    if verb == "install":
        install(host, stack, source)
        return
    plan = host.plan(stack, source) if verb == "plan" else host.apply(stack, source, lambda _: None)
    if not plan.empty:
        sys.exit(f"the host is not in sync: {plan.steps[:3]} {plan.blockers}")


main()
