"""Keys of clients: issued for whom the stack declares, replaced with an overlap, and taken back."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path
from typing import Any

import pytest

from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout
from genesis_stack.protocol.access import Keys
from genesis_stack.protocol.keys import ClientKey
from genesis_stack.reconcile.keys import KeyStore
from genesis_stack.render.access import clients
from genesis_stack.spec.load import loads

STACK = loads(
    """
api_version: genesis.stack/v1
name: keys
models:
  a: {port: 8000, weights: {source: "hf://a/b/c.gguf", sha256: "%s"}, budget: {memory: 1GiB, cpus: 1}}
clients:
  alice: {models: [a]}
  robot: {models: [a], require_signature: true, keys: {main: {secret: robot-secret}}}
  both: {models: [a], keys: {old: {expires: 2026-02-01}, new: {}}}
"""
    % ("0" * 64)
)
HOUR = dt.timedelta(hours=1)


class Desk:
    """A store on a clock that stands still."""

    def __init__(self, root: Path) -> None:
        self.now = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
        self.layout = Layout.under(root)
        self.store = KeyStore(self.layout, clients(STACK), lambda: self.now)
        self.keys_file = self.layout.config / "access/keys.json"
        self.secret = self.layout.secrets / "robot-secret"

    def issue(self, client: str, slot: str | None = None) -> ClientKey:
        """Issue a key as the verb does."""
        return self.store.add(client, *self.store.slot(client, slot))

    def rotate(self, client: str, overlap: dt.timedelta = HOUR) -> ClientKey:
        """Replace a key as the verb does."""
        return self.store.rotate(client, *self.store.slot(client, None), overlap)

    def states(self, client: str) -> dict[Any, str]:
        """Key id → state."""
        return {row.id: row.state for row in self.store.rows() if row.client == client}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Without keys."""
    return Desk(tmp_path)


def test_a_bearer_key_is_kept_as_its_digest_alone(desk: Desk) -> None:
    """Nothing on the host can be sent as a key."""
    key = desk.issue("alice")
    assert key.text not in desk.keys_file.read_text()
    (issued,) = Keys.model_validate_json(desk.keys_file.read_bytes()).keys
    assert issued.digest == key.digest
    assert not desk.layout.secrets.exists()


def test_a_signing_key_is_a_secret_that_only_its_owner_may_read(desk: Desk) -> None:
    """In a directory that nobody else may enter."""
    key = desk.issue("robot")
    assert desk.secret.read_text() == f"{key.text}\n"
    assert stat.S_IMODE(desk.secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(desk.layout.secrets.stat().st_mode) == 0o700
    assert key.text not in desk.keys_file.read_text()


def test_rotation_leaves_the_old_key_good_until_the_overlap_is_over(desk: Desk) -> None:
    """Then it has expired by itself."""
    old = desk.issue("alice")
    new = desk.rotate("alice")
    assert desk.states("alice") == {old.id: "ends", new.id: "good"}
    desk.now += HOUR
    assert desk.states("alice") == {old.id: "expired", new.id: "good"}


def test_there_are_never_more_than_two_good_keys(desk: Desk) -> None:
    """A second rotation ends the oldest now; a third `add` is refused."""
    first, second = desk.issue("robot"), desk.rotate("robot")
    third = desk.rotate("robot")
    assert desk.states("robot") == {second.id: "ends", third.id: "good"}
    assert desk.secret.read_text().split() == [third.text, second.text]
    with pytest.raises(GenesisError, match="2 keys that are good"):
        desk.issue("robot")
    assert first.text not in desk.secret.read_text()


def test_no_key_is_issued_that_has_ended_already(desk: Desk) -> None:
    """Neither a first one nor in exchange; what there is stays as it is, and the message says what to do."""
    kept = desk.issue("both", "old")
    desk.now = dt.datetime(2026, 2, 1, 23, 59, 59, tzinfo=dt.UTC)
    desk.store.revoke("both", [kept.id])
    kept = desk.issue("both", "old")
    desk.now += dt.timedelta(seconds=1)
    before = desk.keys_file.read_bytes()
    slot = desk.store.slot("both", "old")
    for issue in (lambda: desk.store.add("both", *slot), lambda: desk.store.rotate("both", *slot, HOUR)):
        with pytest.raises(GenesisError, match="until 2026-02-01") as refused:
            issue()
        assert "clients.both.keys.old" in (refused.value.hint or "")
    assert desk.keys_file.read_bytes() == before
    assert kept.id in desk.states("both")
    assert desk.issue("both", "new")


def test_a_shorter_overlap_does_not_revive_a_key(desk: Desk) -> None:
    """An end that was set is never put off."""
    old = desk.issue("alice")
    desk.rotate("alice", HOUR)
    desk.store.revoke("alice", [key for key, state in desk.states("alice").items() if state == "good"])
    desk.rotate("alice", 5 * HOUR)
    desk.now += HOUR
    assert desk.states("alice")[old.id] == "expired"


def test_a_revoked_key_leaves_nothing_behind(desk: Desk) -> None:
    """Neither its digest nor its secret; the other one stays."""
    kept, gone = desk.issue("robot"), desk.issue("robot")
    assert desk.store.revoke("robot", [gone.id]) == [gone.id]
    assert desk.states("robot") == {kept.id: "good"}
    assert desk.secret.read_text() == f"{kept.text}\n"


def test_unknown_names_get_a_hint(desk: Desk) -> None:
    """Of a client, of a slot, of a key."""
    for asked, hint in ((("alise", None), "alice"), (("both", None), "old, new"), (("both", "od"), "old")):
        with pytest.raises(GenesisError) as refused:
            desk.store.slot(*asked)
        assert hint in (refused.value.hint or "")
    key = desk.issue("alice")
    with pytest.raises(GenesisError) as refused:
        desk.store.revoke("alice", [key.id[:-1] + "x"])
    assert key.id in (refused.value.hint or "")


def test_the_list_shows_every_slot_and_when_its_key_ends(desk: Desk) -> None:
    """By the stack's last day, whose end is the next midnight (UTC)."""
    key = desk.issue("both", "old")
    rows = {(row.client, row.slot): row for row in desk.store.rows()}
    assert rows["both", "old"].expires == "2026-02-02T00:00:00+00:00"
    assert rows["both", "old"].digest == key.digest[:12]
    assert [rows[place].state for place in (("both", "new"), ("robot", "main"))] == ["no key", "no key"]
    desk.now += dt.timedelta(days=2)
    assert desk.states("both")[key.id] == "expired"


def test_no_message_shows_a_key(desk: Desk) -> None:
    """Not by accident: neither its text for people nor the one for programmers has the secret."""
    key = desk.issue("alice")
    assert key.text[16:] not in f"{key} {key!r}"
    with pytest.raises(ValueError, match="not a key") as refused:
        ClientKey.parse(key.text + "0")
    assert key.text not in str(refused.value)
