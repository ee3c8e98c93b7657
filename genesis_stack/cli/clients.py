"""`genesis-stack clients`: issue, replace, take back and list the keys of declared clients."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genesis_stack.cli.completion import declared_clients
from genesis_stack.cli.duration import duration
from genesis_stack.cli.host import AS_JSON, host_options, lock_option, locked, open_host, say

if TYPE_CHECKING:
    from genesis_stack.reconcile.apply import Host
    from genesis_stack.reconcile.keys import KeyRow, KeyStore
    from genesis_stack.spec.model import Stack

COLUMNS = ("CLIENT", "KEY", "ID", "KIND", "CREATED", "EXPIRES", "DIGEST", "STATE")

FROM = click.option(
    "--stack",
    type=click.Path(path_type=Path),
    help="Stack that declares the clients, instead of the one applied.",
)
SLOT = click.option("--key", "slot", help="Which of the client's declared keys.")


@click.group()
def clients() -> None:
    """Issue, replace, take back and list the keys of declared clients."""


@clients.command("list")
@FROM
@AS_JSON
@host_options
def list_keys(*, stack: Path | None, as_json: bool, root: Path | None, backend: str | None) -> None:
    """List every key, and every client that has none."""
    rows = list(_Desk.open(root, backend, stack).keys.rows())
    if as_json:
        data = {"schema_version": 1, "keys": [row.as_json() for row in rows]}
        click.echo(json.dumps(data, indent=2))
        return
    table = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        click.echo("  ".join(map(str.ljust, cells, widths)).rstrip())


@clients.command()
@click.argument("client", shell_complete=declared_clients)
@SLOT
@FROM
@AS_JSON
@lock_option
@host_options
def add(client: str, *, slot: str | None, as_json: bool, lock_timeout: float, **where: Any) -> None:
    """Issue a key for CLIENT and show it, this once."""
    desk = _Desk.open(where["root"], where["backend"], where["stack"])
    with locked(desk.host.layout, lock_timeout):
        name, declared = desk.keys.slot(client, slot)
        key = desk.keys.add(client, name, declared)
        _show(client, name, key.id, key.text, as_json=as_json)
        desk.settle(declared.secret)


@clients.command()
@click.argument("client", shell_complete=declared_clients)
@SLOT
@click.option(
    "--overlap", type=duration, default="24h", show_default=True, help="How long the old key stays good."
)
@FROM
@AS_JSON
@lock_option
@host_options
def rotate(
    client: str, *, slot: str | None, overlap: float, as_json: bool, lock_timeout: float, **where: Any
) -> None:
    """Issue a new key for CLIENT beside the old one, which ends when the overlap is over."""
    from genesis_stack.modelstore.quantity import show_duration

    desk = _Desk.open(where["root"], where["backend"], where["stack"])
    with locked(desk.host.layout, lock_timeout):
        name, declared = desk.keys.slot(client, slot)
        key = desk.keys.rotate(client, name, declared, dt.timedelta(seconds=overlap))
        _show(client, name, key.id, key.text, as_json=as_json)
        say(f"the keys before it end in {show_duration(overlap)}")
        desk.settle(declared.secret)


@clients.command()
@click.argument("client", shell_complete=declared_clients)
@click.argument("key_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every key of the client.")
@FROM
@AS_JSON
@lock_option
@host_options
def revoke(
    client: str, key_ids: tuple[str, ...], *, every: bool, as_json: bool, lock_timeout: float, **where: Any
) -> None:
    """Take keys of CLIENT back: they are refused from the next request on."""
    if every == bool(key_ids):
        raise click.UsageError("Name the ids of the keys (`clients list` shows them), or give --all.")
    desk = _Desk.open(where["root"], where["backend"], where["stack"])
    with locked(desk.host.layout, lock_timeout):
        revoked = desk.keys.revoke(client, None if every else list(key_ids))
        if as_json:
            click.echo(json.dumps({"schema_version": 1, "client": client, "revoked": revoked}))
        say(f"revoked {len(revoked)} of {client}: {', '.join(revoked) or 'it had none'}")
        desk.settle(None)


@dataclass(frozen=True)
class _Desk:
    """Where keys are handed out: a host, and the stack that says to whom."""

    host: Host
    stack: Stack
    keys: KeyStore

    @classmethod
    def open(cls, root: Path | None, backend: str | None, stack: Path | None) -> _Desk:
        from genesis_stack.reconcile.keys import KeyStore
        from genesis_stack.render.access import clients as declared

        host = open_host(root, backend)
        found = _stack(host, stack)
        return cls(host, found, KeyStore(host.layout, declared(found)))

    def settle(self, secret: str | None) -> None:
        """See the change arrive."""
        from genesis_stack.reconcile.handing_over import hand_over

        hand_over(self.host, secret)


def _stack(host: Host, path: Path | None) -> Stack:
    """The stack of this path, else the one applied, else ./stack.yaml."""
    from genesis_stack.spec.load import load, loads

    generations = host.transaction.generations
    current = generations.current()
    if path is None and current is not None:
        return loads(generations.load(current).source, f"generation {current}")
    return load(path or Path("stack.yaml"))


def _show(client: str, slot: str, key_id: str, text: str, *, as_json: bool) -> None:
    if as_json:
        data = {"schema_version": 1, "client": client, "slot": slot, "id": key_id, "key": text}
        click.echo(json.dumps(data))
    else:
        click.echo(text)
    say("this is the only time that the key is shown")


def _cells(row: KeyRow) -> tuple[str, ...]:
    values = (row.client, row.slot, row.id, row.kind, row.created, row.expires, row.digest, row.state)
    return tuple(value or "-" for value in values)
