"""Who may call: two files in one directory, which every server reads again whenever one of them changes.

`clients.json` is rendered from the stack: the declared clients with their models, limits and key slots.
`keys.json` belongs to the host: the keys that `genesis-stack clients` has issued, as digests. A key is good
while its client and its slot are declared, and until the earlier of the slot's and its own last moment.
A directory is shared with the servers rather than files: a file that is replaced is another file to a bind
mount.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

CLIENTS_FILE: Final = "clients.json"
KEYS_FILE: Final = "keys.json"
ONLY_SLOT: Final = "default"
"""The slot of a client whose keys the stack does not name."""
MOST_LIVE_KEYS: Final = 2
"""Keys of one client that are good at the same time: the new one and the one that it replaces."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeySlot(_Frozen):
    """A declared key: its last day (UTC), and the name of the secret with which it signs.

    A slot with a secret holds keys that sign and are never taken as Bearer tokens; one without, the reverse.
    """

    expires: dt.date | None
    secret: str | None

    def ends(self) -> dt.datetime | None:
        """The moment from which its keys are no longer good."""
        if self.expires is None:
            return None
        return dt.datetime.combine(self.expires + dt.timedelta(days=1), dt.time(), dt.UTC)


class ClientPolicy(_Frozen):
    """What one declared client may do."""

    models: tuple[str, ...]
    requests_per_minute: int = Field(ge=1)
    tokens_per_minute: int = Field(ge=1)
    concurrent: int = Field(ge=1)
    require_signature: bool
    guard: Literal["off", "flag", "block"]
    slots: dict[str, KeySlot]


class Clients(_Frozen):
    """`clients.json`."""

    schema_version: Literal[1] = 1
    clients: dict[str, ClientPolicy]


class IssuedKey(_Frozen):
    """One issued key. `digest` is a Bearer key's, None for one that signs; `expires` ends an overlap."""

    id: str
    client: str
    slot: str
    digest: str | None
    created: dt.datetime
    expires: dt.datetime | None = None


class Keys(_Frozen):
    """`keys.json`."""

    schema_version: Literal[1] = 1
    keys: tuple[IssuedKey, ...] = ()


def last_moment(key: IssuedKey, slot: KeySlot) -> dt.datetime | None:
    """When an issued key ends, None for never."""
    ends = [end for end in (key.expires, slot.ends()) if end is not None]
    return min(ends, default=None)


def access_digest(clients: bytes, keys: bytes | None) -> str:
    """What a server tells of the files it has in force, so that whoever changed one sees it arrive."""
    return hashlib.sha256(clients + b"\0" + (keys or b"")).hexdigest()
