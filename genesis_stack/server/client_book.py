"""The clients and keys in force: read from files, and read again as soon as one of them changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from genesis_stack.protocol.access import (
    CLIENTS_FILE,
    KEYS_FILE,
    ClientPolicy,
    Clients,
    IssuedKey,
    Keys,
    access_digest,
    last_moment,
)
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.server.config_file import ConfigError
from genesis_stack.server.secret_files import Stamp, secret_path, stamp

_log = logging.getLogger(__name__)


class AccessError(ConfigError):
    """A file that says who may call cannot be used; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class LiveKey:
    """A key as the server knows it: one that is sent by its digest, one that signs by its secret.

    `ends` is the Unix time from which it is no longer good.
    """

    id: str
    client: str
    ends: float
    digest: bytes | None
    secret: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """One consistent reading of all files."""

    clients: Mapping[str, ClientPolicy]
    keys: Mapping[str, LiveKey]
    digest: str
    expects_signatures: bool


class ClientBook:
    """Who may call now.

    Looking at the files' stamps costs a few microseconds and is done for every request, so that a revoked
    key is refused from the next request on. Files that cannot be used leave the last good ones in force.
    """

    def __init__(self, directory: str, secrets: str | None) -> None:
        """Read the files.

        Raises:
            AccessError: they cannot be used.
        """
        self._clients = Path(directory) / CLIENTS_FILE
        self._keys = Path(directory) / KEYS_FILE
        self._secrets = secrets
        self._watched: tuple[Path, ...] = (self._clients, self._keys)
        self._stamps = self._look()
        self._access = self._read_again()

    @property
    def access(self) -> Access:
        """What the files say at this moment."""
        stamps = self._look()
        if stamps != self._stamps:
            try:
                self._access = self._read_again()
            except AccessError as error:
                self._stamps = self._look()  # one line in the log for each change, not for each request
                _log.error("clients not read again: the last good ones stay", extra={"reason": str(error)})
            else:
                _log.info("clients read again", extra={"keys": len(self._access.keys)})
        return self._access

    def _read_again(self) -> Access:
        """Read all files, stamped before: what changes meanwhile is read at the next request."""
        while True:
            watched = self._watched
            self._stamps = self._look()
            access = self._read()
            if self._watched == watched:
                return access

    def _look(self) -> tuple[Stamp, ...]:
        return tuple(map(stamp, self._watched))

    def _read(self) -> Access:
        content = _content(self._clients)
        if content is None:
            raise AccessError(f"{self._clients}: is not there")
        issued = _content(self._keys)
        try:
            clients = Clients.model_validate_json(content).clients
            keys = Keys.model_validate_json(issued).keys if issued is not None else ()
        except ValidationError as error:
            raise AccessError(
                f"{self._clients.parent}: {error.errors(include_url=False)[0]['msg']}"
            ) from None
        signing = self._signing(clients)
        live = dict(_live(keys, clients, signing))
        signs = any(key.secret is not None for key in live.values())
        return Access(clients, live, access_digest(content, issued), signs)

    def _signing(self, clients: Mapping[str, ClientPolicy]) -> dict[tuple[str, str], dict[str, bytes]]:
        """Secrets by key id, of each slot that signs."""
        found = {}
        paths = []
        for name, policy in clients.items():
            for slot, declared in policy.slots.items():
                if declared.secret is not None:
                    path = secret_path(declared.secret, self._secrets)
                    paths.append(path)
                    found[name, slot] = dict(_secrets_in(path))
        self._watched = (self._clients, self._keys, *paths)
        return found


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccessError(f"{path}: {error.strerror}") from None


def _secrets_in(path: Path) -> Iterable[tuple[str, bytes]]:
    """The keys of a secret, one a line: the newest first, then the one that it replaces.

    A secret that is not there yet has none; neither has, under systemd, that of a client of other models.
    """
    for number, line in enumerate((_content(path) or b"").decode(errors="replace").splitlines(), 1):
        try:
            key = ClientKey.parse(line)
        except ValueError as error:
            raise AccessError(f"{path}:{number}: {error}") from None
        yield key.id, key.signing_secret


def _live(
    keys: Iterable[IssuedKey],
    clients: Mapping[str, ClientPolicy],
    signing: Mapping[tuple[str, str], Mapping[str, bytes]],
) -> Iterable[tuple[str, LiveKey]]:
    """The keys whose client and slot are declared, of the kind that their slot is."""
    for key in keys:
        slot = clients[key.client].slots.get(key.slot) if key.client in clients else None
        if slot is None:
            continue
        end = last_moment(key, slot)
        ends = float("inf") if end is None else end.timestamp()
        secret = signing.get((key.client, key.slot), {}).get(key.id)
        if slot.secret is None and key.digest is not None:
            yield key.id, LiveKey(key.id, key.client, ends, bytes.fromhex(key.digest), None)
        elif slot.secret is not None and key.digest is None and secret is not None:
            yield key.id, LiveKey(key.id, key.client, ends, None, secret)
