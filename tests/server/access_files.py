"""Clients and keys on disk, as the operator's side leaves them for a server."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving import MODEL, serve_config

from genesis_stack import durable
from genesis_stack.protocol.access import (
    CLIENTS_FILE,
    KEYS_FILE,
    ONLY_SLOT,
    ClientPolicy,
    Clients,
    IssuedKey,
    Keys,
    KeySlot,
)
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.protocol.serve_config import ServeConfig

LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
BEARER = KeySlot(expires=None, secret=None)


def policy(*, slots: dict[str, KeySlot] | None = None, **fields: Any) -> ClientPolicy:
    """A client of the served model whose limits are far away."""
    return ClientPolicy.model_validate(
        {
            "models": [MODEL],
            "requests_per_minute": 100_000,
            "tokens_per_minute": 10_000_000,
            "concurrent": 1000,
            "require_signature": False,
            "guard": "flag",
            "slots": slots or {ONLY_SLOT: BEARER},
            **fields,
        }
    )


@dataclass
class AccessFiles:
    """The two files and the secrets below `root`."""

    root: Path
    clients: dict[str, ClientPolicy] = field(default_factory=dict)
    keys: list[IssuedKey] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """What a server is told."""
        return self.root / "access"

    @property
    def secrets(self) -> Path:
        """Where secrets stand."""
        return self.root / "secrets"

    def section(self) -> dict[str, Any]:
        """The parts of a server's config that lead here."""
        return {"access": {"directory": str(self.directory)}, "secrets": str(self.secrets)}

    def config(self, weights: Path) -> ServeConfig:
        """The whole config of a server that these files let in."""
        return ServeConfig.model_validate_json(json.dumps(serve_config(weights) | self.section()))

    def declare(self, name: str, **fields: Any) -> None:
        """Declare a client, or change it."""
        self.clients[name] = policy(**fields)
        self.write()

    def issue(self, client: str, slot: str = ONLY_SLOT, *, expires: dt.datetime | None = None) -> ClientKey:
        """Issue one more key."""
        key = ClientKey.generate()
        secret = self.clients[client].slots[slot].secret
        if secret is not None:
            path = self.secrets / secret
            before = path.read_text() if path.exists() else ""
            durable.write(path, key.text + "\n" + before, 0o600)
        digest = key.digest if secret is None else None
        issued = IssuedKey(
            id=key.id, client=client, slot=slot, digest=digest, created=LONG_AGO, expires=expires
        )
        self.keys.append(issued)
        self.write()
        return key

    def revoke(self, key: ClientKey) -> None:
        """Take a key back."""
        self.keys = [issued for issued in self.keys if issued.id != key.id]
        self.write()

    def write(self) -> None:
        """Replace both files."""
        clients = Clients(clients=self.clients).model_dump_json()
        durable.write(self.directory / CLIENTS_FILE, clients)
        durable.write(self.directory / KEYS_FILE, Keys(keys=tuple(self.keys)).model_dump_json())


def bearer(key: ClientKey) -> dict[str, str]:
    """What a client sends with a key."""
    return {"authorization": f"Bearer {key.text}"}
