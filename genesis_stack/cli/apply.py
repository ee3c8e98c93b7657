"""`genesis-stack apply`: make the host match a stack, or a saved plan of one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from genesis_stack.cli.completion import profiles
from genesis_stack.cli.host import AS_JSON, STACK, host_options, lock_option, locked, open_host, say
from genesis_stack.cli.narration import narration
from genesis_stack.cli.stack import read_saved_plan, read_stack
from genesis_stack.errors import GenesisError
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.steps import outline
from genesis_stack.reconcile.transaction import Prove
from genesis_stack.spec.model import Stack, Weights


@click.command()
@STACK
@click.option(
    "--gate",
    metavar="PROFILE",
    help="Keep the change only if this load test passes.",
    shell_complete=profiles,
)
@lock_option
@AS_JSON
@host_options
def apply(
    *,
    stack: Path,
    gate: str | None,
    lock_timeout: float,
    as_json: bool,
    root: Path | None,
    backend: str | None,
) -> None:
    """Make the host match STACK, which may also be a plan saved by `plan -o`."""
    start = time.monotonic()
    with narration() as story:
        host = open_host(root, backend, story.say)
        saved = read_saved_plan(stack)
        path = Path(saved.stack) if saved is not None else stack
        parsed, source = read_stack(path, host.layout)
        prove = None if gate is None else story.silent_in(proof_by_load(path, gate))
        with locked(host.layout, lock_timeout):
            done = host.apply(
                parsed,
                source,
                story.silent_in(lambda wanted: fetch(host, wanted, path)),
                expected=saved.fingerprint if saved is not None else None,
                prove=prove,
            )
            generation = host.transaction.generations.current()
    if as_json:
        click.echo(
            json.dumps({"schema_version": 1, "generation": generation, "steps": outline(done)}, indent=2)
        )
    elif done.empty:
        click.echo("Nothing to do.")
    else:
        _tell(host, generation, time.monotonic() - start)


def proof_by_load(stack: Path, profile: str) -> Prove:
    """What loads this host's servers and raises when a promise does not hold; refused if it cannot run.

    Raises:
        GenesisError: there is no such profile, no key for it, or no Locust.
    """
    from genesis_stack.cli.load import run_and_judge
    from genesis_stack.loadtest.run import check_locust
    from genesis_stack.loadtest.setting import read_setting
    from genesis_stack.loadtest.verdict import as_text
    from genesis_stack.modelstore.here import host_here
    from genesis_stack.modelstore.host import read_host
    from genesis_stack.spec.load import load

    check_locust()
    setting = read_setting(stack, profile, host_here(load(stack), read_host()))

    def prove() -> None:
        found = run_and_judge(stack, setting)
        table = as_text(found.check_rows())
        if not found.passed:
            raise GenesisError(f"load test {profile}: a promise does not hold\n{table}")
        say(table)

    return prove


def fetch(host: Host, stack: Stack, path: Path) -> None:
    """Have every model file of a stack in the store, verified, and check again that it fits.

    Before, the sum may have rested on estimates; now the files tell.
    """
    from genesis_stack.modelstore.verdict import files_of

    for model in stack.models.values():
        for _, weights in files_of(model):
            _have(weights, host)
    read_stack(path, host.layout)


def _have(weights: Weights, host: Host) -> None:
    """Have one file; one that has changed in the store goes into quarantine and is fetched again."""
    from genesis_stack.modelstore.faults import ChecksumError
    from genesis_stack.modelstore.modelfile import ensure
    from genesis_stack.modelstore.store import Store

    stored = Store(host.layout.models).path(weights.sha256).exists()
    try:
        ensure(weights, host.layout)
    except ChecksumError as error:
        if not stored:
            raise
        say(str(error))
        ensure(weights, host.layout)


def _tell(host: Host, generation: int | None, seconds: float) -> None:
    say(f"generation {generation} is in force after {seconds:.1f} s")
    services = host.transaction.generations.load(generation).services
    for service in services.values():
        scheme = "https" if service.tls else "http"
        click.echo(f"{service.model}  {scheme}://{service.host}:{service.port}/v1")
