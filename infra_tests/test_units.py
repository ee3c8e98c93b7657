"""What runs is what was applied."""

from __future__ import annotations

from genesis_stack.backends.units import drop_ins
from genesis_stack.render.systemd import SLICE, TARGET, service_name, socket_name
from genesis_stack.spec.load import loads
from genesis_stack.verify.facts import Facts
from genesis_stack.verify.machine import Machine
from genesis_stack.verify.plugin import Evidence


def test_generation_is_of_this_stack(machine: Machine, facts: Facts, evidence: Evidence) -> None:
    """The generation in force was made from this stack."""
    evidence("current", facts.text("current"))
    assert facts.generation is not None, "nothing is applied: there is no readable generation in force"
    applied = loads(facts.text("stack"))
    assert applied == loads(machine.promised.source), (
        f"generation {facts.generation.number} was made from another stack"
    )


def test_no_change_is_under_way(facts: Facts, evidence: Evidence) -> None:
    """No change was interrupted."""
    evidence("journal", facts.text("journal"))
    assert "No such file" in facts.text("journal"), "a journal is left: `genesis-stack apply` finishes it"


def test_files_are_as_rendered(facts: Facts, evidence: Evidence) -> None:
    """Every rendered file stands as it was written, with its owner and mode."""
    wrong = []
    for stored in facts.generation.files if facts.generation else ():
        found = facts.generation_files.get(str(stored.path))
        if found is None or found.sha256 is None:
            wrong.append(f"{stored.path} is missing")
        elif found.sha256 != stored.sha256:
            wrong.append(f"{stored.path} was edited")
        elif (found.mode, found.owner) != (stored.mode, stored.owner or "root"):
            wrong.append(f"{stored.path} is {found.mode:04o} {found.owner}, must be {stored.mode:04o} root")
    evidence("files", facts.text("generation-files"))
    assert facts.generation_files, "there is no generation to compare with"
    assert not wrong, "; ".join(wrong)


def test_unit_is_installed(facts: Facts, model: str, evidence: Evidence) -> None:
    """Service and socket are installed where genesis-stack puts them."""
    for name in (service_name(model), socket_name(model)):
        path = facts.unit(name).get("FragmentPath", "")
        evidence(name, path)
        assert path == f"/etc/systemd/system/{name}", f"{name} is read from {path or 'nowhere'}"


def test_enabled(facts: Facts, model: str, evidence: Evidence) -> None:
    """Service and socket come back after a boot."""
    for name in (service_name(model), socket_name(model), TARGET):
        state = facts.unit(name).get("UnitFileState", "")
        evidence(name, state)
        assert state == "enabled", f"{name} is {state or 'not there'}"


def test_active(facts: Facts, model: str, evidence: Evidence) -> None:
    """The server runs."""
    unit = facts.unit(service_name(model))
    evidence("service", unit)
    assert unit.get("ActiveState") == "active", f"it is {unit.get('ActiveState')} ({unit.get('Result')})"


def test_socket_active(machine: Machine, facts: Facts, model: str, evidence: Evidence) -> None:
    """Its port is held open by systemd, whatever becomes of the server."""
    state = facts.unit(socket_name(model)).get("ActiveState")
    evidence("socket", state)
    assert state == "active", f"the socket unit is {state}"
    port = machine.model(model).port
    assert port in {socket.port for socket in facts.listening}, f"nobody listens on port {port}"


def test_no_foreign_drop_ins(facts: Facts, model: str, evidence: Evidence) -> None:
    """Nobody else changes its units."""
    paths = [
        str(path) for unit in (service_name(model), socket_name(model)) for path in drop_ins(facts.unit(unit))
    ]
    evidence("drop-ins", paths)
    assert not paths, f"foreign: {', '.join(paths)}"


def test_no_foreign_drop_ins_for_all(facts: Facts, evidence: Evidence) -> None:
    """Nobody else changes the slice and the target of all models."""
    paths = [str(path) for unit in (SLICE, TARGET) for path in drop_ins(facts.unit(unit))]
    evidence("drop-ins", paths)
    assert not paths, f"foreign: {', '.join(paths)}"


def test_manager_has_read_the_files(facts: Facts, model: str, evidence: Evidence) -> None:
    """The files on disk are the ones that systemd has read."""
    stale = [
        name
        for name in (service_name(model), socket_name(model))
        if facts.unit(name).get("NeedDaemonReload") == "yes"
    ]
    evidence("stale", stale)
    assert not stale, f"changed on disk, not loaded: {', '.join(stale)}"


def test_plan_has_nothing_to_do(machine: Machine, evidence: Evidence) -> None:
    """An apply of this stack would change nothing."""
    done = machine.plan
    evidence("plan", done.stdout + done.stderr)
    last = (done.stdout.strip() or done.stderr.strip()).splitlines()
    assert done.rc == 0, f"it would: {last[0] if last else done.rc}"
