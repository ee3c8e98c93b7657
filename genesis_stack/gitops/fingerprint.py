"""What the agent leaves behind when all is at rest, for `rest` to compare."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from genesis_stack import durable
from genesis_stack.backends import Observation, Phase
from genesis_stack.gitops import rest
from genesis_stack.gitops.record import Files
from genesis_stack.gitops.repository import Repository
from genesis_stack.gitops.signatures import Signers
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.apply import Host, model_files
from genesis_stack.reconcile.generations import Generations

LOOK_SECONDS: Final = 3600.0
"""Most time between two full looks, whatever the fingerprint says."""
DROP_INS: Final = tuple(
    map(Path, ("/etc/systemd/system.control", "/run/systemd/system", "/run/systemd/system.control"))
)
"""Where systemd finds, beside the units' own directory, what changes a unit; see systemd.unit(5)."""


def write(host: Host, repository: Repository | None, revision: str | None, now: float) -> None:
    """Describe this host and its branch as they are; without a repository nobody is asked.

    Where a server is not up, nothing is written: the next run looks again.
    """
    path = Files.of(host.layout).rest
    with contextlib.suppress(_RestlessError):
        durable.write(path, "\n".join(_lines(host, repository, revision, now)) + "\n", 0o600)
        return
    forget(host)


def forget(host: Host) -> None:
    """Let the next run look at everything."""
    durable.remove(Files.of(host.layout).rest)


class _RestlessError(Exception):
    """Something is under way."""


def _lines(host: Host, repository: Repository | None, revision: str | None, now: float) -> Iterator[str]:
    yield f"until {now + LOOK_SECONDS:.0f}"
    for path in sorted(set(_watched(host))):
        yield f"file {rest.signature(str(path))} {path}"
    if repository is None or revision is None:
        return
    for pid in sorted(_processes(host)):
        yield f"process {pid} {rest.started(str(pid))}"
    yield f"remote {revision} {repository.ref}"
    yield "git " + "\t".join(repository.question)


def _watched(host: Host) -> Iterator[Path]:
    """Everything on disk that the next run would read, and where strangers could add to it."""
    files = Files.of(host.layout)
    yield from (host.layout.current, host.layout.journal, files.record, files.suspension)
    yield from Signers.of(host.layout).files
    generations = Generations(host.layout)
    desired = generations.load(generations.current())
    store = Store(host.layout.models)
    for file in desired.files:
        live = host.backend.live(file)
        yield from (live, live.parent, live.with_name(f"{live.name}.d"))
    for paths in model_files(desired).values():
        yield from (store.path(path.name) for path in paths)
    if host.backend.name == "systemd":
        yield from DROP_INS


def _processes(host: Host) -> Iterator[int]:
    """The servers and the programs beside them, all of which must run."""
    transaction = host.transaction
    current = transaction.generations.current()
    seen: Observation = transaction.situation(transaction.generations.load(current), current).seen
    for service in (*seen.services.values(), *seen.monitors.values()):
        if service.phase is not Phase.RUNNING:
            raise _RestlessError
        if service.pid is not None:
            yield service.pid
