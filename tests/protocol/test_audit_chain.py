"""The chain of the audit record: what shows, and what cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from genesis_stack.protocol.audit import ORIGIN, Segment, verify

NOW = "2030-01-01T00:00:00.000+00:00"


def run(last: str = ORIGIN, *, requests: int = 5, ends: bool = True, **start: str) -> tuple[list[bytes], str]:
    """The lines of one server's run, and the hash of the last."""
    segment = Segment(last)
    lines = [segment.seal("start", NOW, start)]
    lines += [segment.seal("request", NOW, {"request_id": f"r{number}"}) for number in range(requests)]
    if ends:
        lines.append(segment.seal("stop", NOW, {}))
    return lines, segment.last


@pytest.fixture
def lines() -> list[bytes]:
    """Two runs, one after the other: 14 lines."""
    first, last = run()
    return [*first, *run(last)[0]]


def test_a_whole_record_holds(lines: list[bytes]) -> None:
    """With its counts and its head."""
    report = verify(lines)
    assert report.broken is None
    assert (report.records, report.requests, report.notes) == (14, 10, ())
    assert report.head is not None
    assert report.head.hash.encode() in lines[-1]


def edited(lines: list[bytes], at: int) -> None:
    """Say another request."""
    lines[at] = lines[at].replace(b'"r', b'"s')


def rehashed(lines: list[bytes], at: int) -> None:
    """Say another request, and give the line the hash that it then has."""
    body = lines[at].replace(b'"r', b'"s')[:-76]
    lines[at] = body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'


def removed(lines: list[bytes], at: int) -> None:
    """Take it out."""
    del lines[at]


def swapped(lines: list[bytes], at: int) -> None:
    """Exchange it with the next."""
    lines[at], lines[at + 1] = lines[at + 1], lines[at]


def doubled(lines: list[bytes], at: int) -> None:
    """Write it twice."""
    lines.insert(at, lines[at])


def shortened(lines: list[bytes], at: int) -> None:
    """Leave half of it."""
    lines[at] = lines[at][: len(lines[at]) // 2] + b"\n"


def inserted(lines: list[bytes], at: int) -> None:
    """Put in a line that is no record."""
    lines.insert(at, b"something else\n")


@pytest.mark.parametrize(
    ("change", "breaks_at"),
    [(edited, 3), (rehashed, 4), (removed, 3), (swapped, 3), (doubled, 4), (shortened, 3), (inserted, 3)],
)
@pytest.mark.parametrize("offset", [0, 7])
def test_a_change_shows_at_its_line(
    lines: list[bytes], change: Callable[[list[bytes], int], None], breaks_at: int, offset: int
) -> None:
    """Whatever is done to one line: the break is named where it is, in the first run and in the second."""
    change(lines, 2 + offset)
    broken = verify(lines).broken
    assert broken is not None
    assert broken.line == breaks_at + offset


@pytest.mark.parametrize(
    "odd",
    [
        {"segment": ["a"]},
        {"seq": "1"},
        {"seq": True},
        {"kind": {}},
        {"time": None},
        {"prev": [ORIGIN]},
        {"lost": "many"},
    ],
    ids=str,
)
@pytest.mark.parametrize("at", [0, 3])
def test_a_record_that_no_server_writes_is_a_break(
    lines: list[bytes], odd: dict[str, object], at: int
) -> None:
    """Whoever can write the file can seal anything: it is told with its line, whatever it is."""
    lines[at] = Segment(ORIGIN).seal("start", NOW, odd)
    broken = verify(lines).broken
    assert broken is not None
    assert broken.line == at + 1
    assert next(iter(odd)) in broken.reason


def test_json_that_is_too_deep_to_read_is_a_break(lines: list[bytes]) -> None:
    """A line like any other."""
    body = b'{"audit":1,"deep":' + b"[" * 100_000
    lines[2] = body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'
    broken = verify(lines).broken
    assert broken is not None
    assert broken.line == 3


def test_a_removed_run_shows(lines: list[bytes]) -> None:
    """The next one names what is gone."""
    last = verify(lines).head
    assert last is not None
    third, _ = run(last.hash)
    broken = verify([*lines[:7], *third]).broken
    assert broken is not None
    assert broken.line == 8
    assert "missing" in broken.reason


def test_a_removed_end_shows_by_its_anchor_alone(lines: list[bytes]) -> None:
    """The chain of what is left holds; only the hash that was noted elsewhere tells."""
    head = verify(lines).head
    assert head is not None
    assert verify(lines[:-3]).broken is None
    assert verify(lines, anchors=[head.hash[:13].upper()]).broken is None
    broken = verify(lines[:-3], anchors=[head.hash[:13]]).broken
    assert broken is not None
    assert head.hash[:13] in broken.reason


def test_a_rewritten_record_shows_by_its_anchor_alone(lines: list[bytes]) -> None:
    """Whoever can write it all can write another chain; not one with the hash that was noted elsewhere."""
    head = verify(lines).head
    forged, _ = run(requests=9)
    assert head is not None
    assert verify(forged).broken is None
    assert verify(forged, anchors=[head.hash]).broken is not None


def test_a_run_that_was_killed_is_told() -> None:
    """It has no end: that may be a crash or a removal, so it is said and is no break."""
    first, last = run(ends=False)
    report = verify([*first, *run(last)[0]])
    assert report.broken is None
    (note,) = report.notes
    assert "no end" in note


def test_runs_that_overlap_hold() -> None:
    """While one server replaces another, both write."""
    old, new = Segment(ORIGIN), None
    lines = [old.seal("start", NOW, {}), old.seal("request", NOW, {})]
    new = Segment(old.last)
    lines += [new.seal("start", NOW, {}), old.seal("request", NOW, {}), new.seal("request", NOW, {})]
    lines += [old.seal("stop", NOW, {}), new.seal("request", NOW, {})]
    assert verify(lines).broken is None
    del lines[3]
    assert verify(lines).broken is not None


def test_a_line_that_a_power_cut_left_is_no_break_once_told() -> None:
    """The next run names the hash of the torn line; without that it is one."""
    first, last = run(ends=False)
    torn = first.pop()[:40]
    kept_last = verify(first).head
    assert kept_last is not None
    told, _ = run(kept_last.hash, torn=hashlib.sha256(torn).hexdigest())
    untold, _ = run(kept_last.hash)
    assert verify([*first, torn + b"\n", *told]).broken is None
    assert verify([*first, torn + b"\n", *untold]).broken is not None
    assert last != kept_last.hash


def test_older_records_may_be_elsewhere(lines: list[bytes]) -> None:
    """A rotated file begins in the middle: that is told, and what follows holds."""
    report = verify(lines[3:])
    assert report.broken is None
    assert any("older ones" in note for note in report.notes)


def test_records_are_found_among_other_lines(lines: list[bytes]) -> None:
    """In a journal; a missing one shows all the same."""
    mixed = [line for record in lines for line in (b'{"event":"request"}\n', record)]
    assert verify(mixed, strict=False).broken is None
    del mixed[5]
    broken = verify(mixed, strict=False).broken
    assert broken is not None
    assert broken.line == 7
