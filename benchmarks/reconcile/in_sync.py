"""One measured run: `in_sync.py VERB STACK ROOT`, against a host below ROOT that matches the stack."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath


def main() -> None:
    """Do one verb: `install` makes the host, `plan` and `apply` find nothing to do there."""
    verb, stack_path, root = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if verb == "nothing":
        return
    from genesis_stack import process
    from genesis_stack.backends import ports
    from genesis_stack.backends.systemd import SystemdBackend
    from genesis_stack.backends.units import PROPERTIES
    from genesis_stack.layout import Layout
    from genesis_stack.modelstore.store import Store
    from genesis_stack.process import Completed
    from genesis_stack.reconcile.apply import Host
    from genesis_stack.reconcile.desired import desire
    from genesis_stack.reconcile.generations import Generations
    from genesis_stack.reconcile.state import State, write_state
    from genesis_stack.spec.load import load

    class Below(SystemdBackend):
        """systemd's backend, with its files below ROOT."""

        def live(self, path: PurePosixPath) -> Path:
            return Path(path) if path.is_relative_to(root) else root / path.relative_to("/")

    def show(argv: list[object], **_: object) -> Completed:
        blocks = []
        for unit in map(str, argv[3:]):
            values = dict.fromkeys(PROPERTIES, "0") | {
                "Id": unit,
                "LoadState": "loaded",
                "ActiveState": "active",
                "UnitFileState": "enabled",
                "NeedDaemonReload": "no",
                "DropInPaths": "",
                "CPUQuotaPerSecUSec": "infinity",
                **limits.get(unit, {}),
            }
            blocks.append("".join(f"{name}={value}\n" for name, value in values.items()))
        return Completed((), 0, "\n".join(blocks), "")

    layout = Layout.under(root)
    backend = Below(layout)
    host = Host(layout, backend, lambda _: None)
    stack = load(stack_path)
    source = stack_path.read_text()
    limits = {
        f"{name}-server.service": {
            "MemoryMax": str(model.budget.memory),
            "TasksMax": str(model.budget.tasks),
            "CPUQuotaPerSecUSec": f"{model.budget.cpus}s",
        }
        for name, model in stack.models.items()
    }
    ports.strangers = lambda *_: {}  # type: ignore[assignment]
    process.run = show  # type: ignore[assignment]
    Store.verified = lambda *_: True  # type: ignore[method-assign,assignment]
    if verb == "install":
        desired = desire(stack, source, backend, layout)
        for file in desired.files.values():
            backend.live(file.path).parent.mkdir(parents=True, exist_ok=True)
            backend.live(file.path).write_text(file.content)
            backend.live(file.path).chmod(file.mode)
        generations = Generations(layout)
        generations.set_current(generations.add(desired))
        write_state(layout, State(inventory=tuple(desired.files)))
        return
    plan = host.plan(stack, source) if verb == "plan" else host.apply(stack, source, lambda _: None)
    if not plan.empty:
        sys.exit(f"the host is not in sync: {plan.steps[:3]} {plan.blockers}")


main()
