"""The audit record: JSON lines, each bound to the one before by SHA-256.

A line ends with the hash of all that stands before the hash, and names the hash of the line before it, so
that an edited, removed, inserted or moved line shows. A server's run is a segment, numbered through from a
`start` record, which names the last record of the run before, to a `stop` record. Two servers of one model
may write at the same time while one replaces the other; their lines may mix, their segments do not.

The chain has no key: whoever can write the whole record can write a new one. And a missing end looks like
an end. Against both helps an anchor, a hash that was noted elsewhere: see `verify`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MARK: Final = b'{"audit":1,'
"""How every line begins, so that it is found among others in a journal."""

ORIGIN: Final = "0" * 64
"""What the first record of all names as the one before."""

FILE_NAME: Final = "audit.jsonl"

SHORTEST_ANCHOR: Final = 13
"""Hex digits of a hash that are enough to name a record: as many as a metric's float holds exactly."""

HASH_FIELD: Final = b',"hash":"'
_SEAL_BYTES: Final = len(HASH_FIELD) + 64 + len(b'"}')
_HEAD: Final = {"segment": str, "seq": int, "kind": str, "time": str, "prev": str, "hash": str}
"""What every record says of itself, and as what."""


class BadLineError(ValueError):
    """A line that is no record, or not as it was written."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the chain needs to know of a line."""

    segment: str
    seq: int
    kind: str
    time: str
    prev: str
    hash: str
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(slots=True)
class Segment:
    """Writes the records of one run; `last` is the hash of the record before."""

    last: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    seq: int = -1

    def seal(self, kind: str, time: str, fields: Mapping[str, Any]) -> bytes:
        """The next record as a line."""
        self.seq += 1
        head = {
            "audit": 1,
            "segment": self.id,
            "seq": self.seq,
            "prev": self.last,
            "kind": kind,
            "time": time,
        }
        body = json.dumps({**head, **fields}, separators=(",", ":")).encode("ascii")[:-1]
        self.last = hashlib.sha256(body).hexdigest()
        return b"".join((body, HASH_FIELD, self.last.encode("ascii"), b'"}\n'))


def read(line: bytes) -> Record:
    """A line as a record; raises BadLineError, also when its own hash does not hold."""
    body, seal = line[:-_SEAL_BYTES], line[-_SEAL_BYTES:]
    if not (line.startswith(MARK) and seal.startswith(HASH_FIELD) and seal.endswith(b'"}')):
        raise BadLineError("it is no whole record")
    told = seal[len(HASH_FIELD) : -2].decode("ascii", "replace")
    if hashlib.sha256(body).hexdigest() != told:
        raise BadLineError("it was changed: its hash does not hold")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLineError("it is no JSON that a server writes") from None
    head = {name: fields.get(name) for name in _HEAD}
    wrong = [name for name, value in head.items() if type(value) is not _HEAD[name]]
    if type(fields.get("lost", 0)) is not int:
        wrong.append("lost")
    if wrong:
        raise BadLineError(f"its {' and '.join(wrong)} cannot have been written by a server")
    return Record(**head, fields=fields)


@dataclass(frozen=True, slots=True)
class Break:
    """The first line, counted from 1, at which the chain does not hold, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found; `head` is the last record, whose hash is the anchor to note elsewhere.

    `notes` are what the chain alone cannot decide: segments without their beginning or their end.
    """

    records: int
    requests: int
    lost: int
    first: Record | None
    head: Record | None
    broken: Break | None
    notes: tuple[str, ...]


def verify(lines: Iterable[bytes], *, anchors: Iterable[str] = (), strict: bool = True) -> Report:
    """Follow the chain through `lines` up to the first break.

    `anchors` are hashes, or their beginnings, of records that must be there. Unless `strict`, lines that do
    not begin as records are passed over, as in a journal; a whole line that is missing shows all the same.
    """
    chain = _Chain(tuple(anchor.lower() for anchor in anchors))
    broken = None
    for number, line in enumerate(lines, 1):
        line = line.rstrip(b"\n")  # noqa: PLW2901 -- the same line
        if not strict and not line.startswith(MARK):
            continue
        broken = chain.follow(number, line)
        if broken is not None:
            break
    return chain.report(broken)


class _Chain:
    """Where the segments stand after the lines read so far."""

    def __init__(self, anchors: tuple[str, ...]) -> None:
        self._open: dict[str, Record] = {}
        self._hashes: set[str] = set()
        self._missing = set(anchors)
        self._notes: list[str] = []
        self._torn: tuple[int, bytes] | None = None
        self._why = ""
        self._first: Record | None = None
        self._head: Record | None = None
        self._requests = self._lost = 0

    def follow(self, number: int, line: bytes) -> Break | None:
        """Take the next line in; the break that it is, if it is one."""
        try:
            record = read(line)
        except BadLineError as exc:
            if self._torn is not None:
                return Break(self._torn[0], "it is no whole record, and no later start tells of it")
            self._torn = (number, line)
            self._why = str(exc)
            return None
        if self._torn is not None and not self._mended(record):
            return Break(self._torn[0], self._why)
        reason = self._begins(record) if record.kind == "start" else self._continues(record)
        if reason is not None:
            return Break(number, reason)
        self._note(record)
        return None

    def _mended(self, record: Record) -> bool:
        """Whether this start tells of the torn line: what a power cut left, found by the next run."""
        assert self._torn is not None  # noqa: S101 -- for the type checker
        torn = hashlib.sha256(self._torn[1]).hexdigest()
        if record.kind != "start" or record.fields.get("torn") != torn:
            return False
        self._notes.append(f"line {self._torn[0]} was cut short by a crash; the run after it says so")
        self._torn = None
        return True

    def _begins(self, record: Record) -> str | None:
        if record.seq != 0 or record.segment in self._open:
            return "a segment begins twice"
        if record.prev in self._hashes:
            return None
        if self._first is not None:
            return "the record that this run continues is missing before it"
        if record.prev != ORIGIN:
            self._notes.append(f"the record begins after {record.prev[:16]}…: older ones are not here")
        return None

    def _continues(self, record: Record) -> str | None:
        before = self._open.get(record.segment)
        if before is None:
            if self._first is not None:
                return "its segment has no beginning here"
            self._notes.append(f"the record begins after {record.prev[:16]}…: older ones are not here")
            return None
        if record.seq != before.seq + 1:
            return f"record {before.seq + 1} of its segment is missing before it: it has number {record.seq}"
        return None if record.prev == before.hash else "it does not continue the record before it"

    def _note(self, record: Record) -> None:
        self._first = self._first or record
        self._head = record
        self._hashes.add(record.hash)
        self._missing -= {anchor for anchor in self._missing if record.hash.startswith(anchor)}
        self._requests += record.kind == "request"
        self._lost += int(record.fields.get("lost", 0))
        self._open[record.segment] = record

    def report(self, broken: Break | None) -> Report:
        """What was found, once the lines have ended."""
        if broken is None and self._torn is not None:
            broken = Break(self._torn[0], self._why)
        if broken is None and self._missing:
            wanted = ", ".join(sorted(self._missing))
            broken = Break(0, f"no record has the anchor {wanted}: the end was removed, or all was replaced")
        last = None if self._head is None else self._head.segment
        ended = [
            f"run {record.segment} has no end after its record {record.seq} of {record.time}: "
            "it was killed, or its end was removed"
            for record in self._open.values()
            if record.kind != "stop" and record.segment != last
        ]
        records = len(self._hashes)
        return Report(
            records, self._requests, self._lost, self._first, self._head, broken, (*self._notes, *ended)
        )
