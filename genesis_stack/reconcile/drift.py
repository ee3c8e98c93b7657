"""Where the host has left the current generation though the stack did not change."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from genesis_stack.backends import Listener, ObservedService, Phase
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.apply import Host, missing
from genesis_stack.reconcile.plan import Situation
from genesis_stack.reconcile.state import read_state

APPLY: Final = "genesis-stack apply"


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference: `kind` for programs, `what` for people, and the command that heals it."""

    kind: str
    target: str
    what: str
    fix: str

    def as_json(self) -> dict[str, str]:
        """Its fields."""
        return asdict(self)


def find_drift(host: Host) -> list[Drift]:
    """Every difference between the host and its current generation; empty when there is none."""
    transaction = host.transaction
    current = transaction.generations.current()
    if current is None and read_state(host.layout).inventory:
        what = "points to no generation, though one was applied"
        return [_drift("no generation", host.layout.current, what, "brings it back")]
    situation = transaction.situation(transaction.generations.load(current), current)
    lacking = missing(situation.desired, Store(host.layout.models))
    seen, services = situation.seen, situation.desired.services
    models = [_drift("model file", model, reason, "fetches it") for model, reason in lacking.items()]
    ports = {service.port: service.model for service in services.values()}
    ports |= {port: one.name for one in situation.desired.monitors.values() for port in one.ports}
    rogues = [_listener(ports[port], holder) for port, holder in seen.listeners.items()]
    return [*_files(situation), *models, *_services(situation), *rogues]


def _drift(kind: str, target: object, what: str, healed: str) -> Drift:
    return Drift(kind, str(target), what, f"{APPLY}: {healed}")


def _files(situation: Situation) -> list[Drift]:
    found = []
    for path, file in sorted(situation.desired.files.items()):
        content = situation.seen.files.get(path)
        if content is None:
            found.append(_drift("missing file", path, "was removed", "writes it again"))
        elif content != file.content:
            found.append(_drift("edited file", path, "was edited by hand", "restores it"))
        elif situation.seen.modes.get(path) != file.mode:
            found.append(_drift("file mode", path, f"must be {file.mode:04o}", "restores it"))
    for foreign in situation.seen.foreign:
        what = "changes our services and is not ours"
        found.append(_drift("foreign file", foreign.path, what, "moves it aside and keeps it"))
    leftovers = (path for path in situation.inventory if path not in situation.desired.files)
    known = [path for path in leftovers if situation.seen.files.get(path) is not None]
    return found + [_drift("leftover", path, "is ours and not needed", "removes it") for path in known]


def _services(situation: Situation) -> list[Drift]:
    found = []
    running = {**situation.seen.services, **situation.seen.monitors}
    for model in (*situation.desired.services, *situation.desired.monitors):
        seen = running.get(model, ObservedService(Phase.ABSENT))
        if seen.phase not in {Phase.RUNNING, Phase.STARTING}:
            found.append(_drift("stopped", model, f"is {seen.phase}", "starts it"))
            continue
        for name, (must, effective) in sorted(seen.limits.items()):
            found.append(
                _drift("changed limit", model, f"{name} is {effective}, must be {must}", "restores it")
            )
        if not seen.enabled:
            found.append(_drift("disabled", model, "would not come back after a boot", "enables it"))
        if not seen.listening:
            found.append(_drift("closed port", model, "its socket is stopped", "opens it"))
        if seen.stale:
            found.append(_drift("stale", model, "the process manager has not read its files", "reloads it"))
    return found


def _listener(model: str, holder: Listener) -> Drift:
    fix = f"kill {holder.pid}, then {APPLY}" if holder.pid else f"ask its user to stop it, then {APPLY}"
    return Drift("rogue listener", model, f"port {holder.port} is held by {holder}", fix)
