"""The keys of one host: issued, replaced and taken back; the stack says whose there may be.

A Bearer key is kept as its digest. A key that signs is kept whole, in the secret that its slot names, because
the server has to compute with it; the newest stands first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from genesis_stack import durable
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.layout import Layout
from genesis_stack.protocol.access import (
    MOST_LIVE_KEYS,
    Clients,
    IssuedKey,
    Keys,
    KeySlot,
    last_moment,
)
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.render.access import keys_path
from genesis_stack.spec.problems import did_you_mean

Now = Callable[[], dt.datetime]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One line of the list; times are ISO 8601 in UTC. A client without a key has a row without an id.

    `digest` is the beginning of a Bearer key's digest. `state` is `good`, `ends` (while a newer one replaces
    it), `expired`, `undeclared` or `no key`.
    """

    client: str
    slot: str
    id: str | None
    kind: str
    created: str | None
    expires: str | None
    digest: str | None
    state: str

    def as_json(self) -> dict[str, str | None]:
        """Its fields."""
        return asdict(self)


class KeyStore:
    """The keys below one layout, of the clients that a stack declares."""

    def __init__(self, layout: Layout, clients: Clients, now: Now = lambda: dt.datetime.now(dt.UTC)) -> None:
        self._path = Path(keys_path(layout))
        self._secrets = layout.secrets
        self._clients = clients.clients
        self._now = now

    def slot(self, client: str, name: str | None) -> tuple[str, KeySlot]:
        """A slot of a client; the only one when no name is given.

        Raises:
            GenesisError: there is no such client or slot, or there are several to choose from.
        """
        if client not in self._clients:
            known = ", ".join(self._clients) or "none"
            raise GenesisError(
                f"no client {client!r} is declared",
                hint=did_you_mean(client, self._clients) or f"the stack declares: {known}",
                exit_code=ExitCode.USAGE,
            )
        slots = self._clients[client].slots
        if name is None and len(slots) == 1:
            name = next(iter(slots))
        if name is None or name not in slots:
            what = "which key?" if name is None else f"client {client!r} has no key {name!r}"
            hint = f"the stack declares: {', '.join(slots)}; choose one with --key"
            raise GenesisError(what, hint=hint, exit_code=ExitCode.USAGE)
        return name, slots[name]

    def add(self, client: str, slot: str, declared: KeySlot) -> ClientKey:
        """Issue one more key; the client has two at most.

        Raises:
            GenesisError: it has two that are good, or the slot's last day is over.
        """
        issued = self._read()
        return self._issue(client, slot, declared, [key for key in issued if self._stays(key, client)])

    def rotate(self, client: str, slot: str, declared: KeySlot, overlap: dt.timedelta) -> ClientKey:
        """Issue a key beside the newest one of its slot, which ends when `overlap` is over.

        Older ones of the slot end now: there are never more than two.

        Raises:
            GenesisError: the client has a good key in another slot, too, or the slot's last day is over.
        """
        end = (self._now() + overlap).replace(microsecond=0)
        kept = [key for key in self._read() if self._stays(key, client)]
        replaced = [key for key in kept if (key.client, key.slot) == (client, slot)]
        kept = [key for key in kept if key not in replaced]
        for newest in replaced[-1:]:
            kept.append(newest.model_copy(update={"expires": min(end, newest.expires or end)}))
        return self._issue(client, slot, declared, kept)

    def _stays(self, key: IssuedKey, client: str) -> bool:
        """Whether a key stays on the list when another one is issued to this client."""
        return key.client != client or self._is_good(key)

    def _issue(self, client: str, slot: str, declared: KeySlot, kept: list[IssuedKey]) -> ClientKey:
        end = declared.ends()
        if end is not None and end <= self._now():
            raise GenesisError(
                f"keys {slot!r} of client {client!r} were good until {declared.expires}: "
                "a new one could not be used",
                hint=f"give clients.{client}.keys.{slot} a later `expires` in the stack and apply it first",
            )
        mine = [key.id for key in kept if key.client == client]
        if len(mine) >= MOST_LIVE_KEYS:
            raise GenesisError(
                f"client {client!r} has {len(mine)} keys that are good: {', '.join(mine)}",
                hint=f"take one back first: genesis-stack clients revoke {client} {mine[0]}",
            )
        key = ClientKey.generate()
        issued = IssuedKey(
            id=key.id,
            client=client,
            slot=slot,
            digest=None if declared.secret else key.digest,
            created=self._now().replace(microsecond=0),
        )
        if declared.secret is not None:
            self._keep(declared.secret, {issued.id for issued in kept}, key)
        self._write((*kept, issued))
        return key

    def revoke(self, client: str, ids: list[str] | None = None) -> list[str]:
        """Take keys of a client back, all of them when no ids are given; returns the ids.

        Raises:
            GenesisError: it has no key of such an id.
        """
        issued = self._read()
        mine = [key.id for key in issued if key.client == client]
        wanted = mine if ids is None else ids
        for one in wanted:
            if one not in mine:
                hint = did_you_mean(one, mine) or f"it has: {', '.join(mine) or 'none'}"
                raise GenesisError(
                    f"client {client!r} has no key {one!r}", hint=hint, exit_code=ExitCode.USAGE
                )
        if wanted:
            kept = tuple(key for key in issued if key.id not in wanted)
            self._write(kept)
            for name in self._secrets_of(client):
                self._keep(name, {key.id for key in kept})
        return wanted

    def rows(self) -> Iterator[KeyRow]:
        """Every key, and every declared client and slot that has none."""
        issued = self._read()
        for key in sorted(issued, key=lambda key: (key.client, key.slot, key.created)):
            yield self._row(key)
        with_key = {(key.client, key.slot) for key in issued}
        for client, policy in self._clients.items():
            for name, slot in policy.slots.items():
                if (client, name) not in with_key:
                    kind = "signing" if slot.secret else "bearer"
                    yield KeyRow(client, name, None, kind, None, None, None, "no key")

    def _row(self, key: IssuedKey) -> KeyRow:
        slot = self._declared(key)
        end = key.expires if slot is None else last_moment(key, slot)
        if slot is None:
            state = "undeclared"
        elif end is not None and end <= self._now():
            state = "expired"
        else:
            state = "good" if key.expires is None else "ends"
        return KeyRow(
            client=key.client,
            slot=key.slot,
            id=key.id,
            kind="signing" if key.digest is None else "bearer",
            created=key.created.isoformat(),
            expires=None if end is None else end.isoformat(),
            digest=None if key.digest is None else key.digest[:12],
            state=state,
        )

    def _declared(self, key: IssuedKey) -> KeySlot | None:
        """The slot of an issued key, if it is declared and of its kind."""
        slot = self._clients[key.client].slots.get(key.slot) if key.client in self._clients else None
        return slot if slot is not None and (slot.secret is None) == (key.digest is not None) else None

    def _is_good(self, key: IssuedKey) -> bool:
        return self._row(key).state in {"good", "ends"}

    def _secrets_of(self, client: str) -> list[str]:
        slots = self._clients[client].slots.values() if client in self._clients else ()
        return [slot.secret for slot in slots if slot.secret is not None]

    def _keep(self, secret: str, ids: set[str], new: ClientKey | None = None) -> None:
        """Leave the keys of these ids in a secret, behind a new one."""
        path = self._secrets / secret
        text = path.read_text() if path.exists() else ""
        try:
            keys = [ClientKey.parse(line) for line in text.splitlines()]
        except ValueError as error:
            hint = "move it away: a secret that signs requests is made by `genesis-stack clients add`"
            raise GenesisError(f"{path}: {error}", hint=hint) from None
        kept = [key.text for key in (*([new] if new else []), *keys) if key is new or key.id in ids]
        durable.mkdir(self._secrets, 0o700)
        content = "".join(f"{line}\n" for line in kept)
        if content != text:
            durable.write(path, content, 0o600)

    def _read(self) -> tuple[IssuedKey, ...]:
        try:
            return Keys.model_validate_json(self._path.read_bytes()).keys
        except FileNotFoundError:
            return ()
        except ValueError as error:
            raise GenesisError(
                f"{self._path} is damaged: {error}", hint="move it away and issue the keys anew"
            ) from None

    def _write(self, keys: tuple[IssuedKey, ...]) -> None:
        """Digests of 256 random bits are no secret: servers without a name of their own read them."""
        durable.write(self._path, Keys(keys=keys).model_dump_json(indent=2) + "\n", 0o644)
