"""What is said of a run: its checks, and its changes since a baseline, as text and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from genesis_stack.loadtest.baseline import Change, compare
from genesis_stack.loadtest.gate import Check, judge, kept
from genesis_stack.loadtest.record import Record
from genesis_stack.loadtest.setting import Setting

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A run and what became of it."""

    record: Record
    checks: tuple[Check, ...]
    changes: tuple[Change, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every promise held and nothing became worse."""
        return kept(self.checks) and not any(change.worse for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        """The checks, the changes and how much was measured; the record is stored by itself."""
        return {
            "schema_version": 1,
            "stack": self.record.stack,
            "profile": self.record.profile,
            "passed": self.passed,
            "seconds": round(self.record.seconds, 1),
            "requests": len(self.record.samples),
            "generator_cpu": round(self.record.generator_cpu, 4),
            "checks": [asdict(check) for check in self.checks],
            "changes": [asdict(change) for change in self.changes],
        }

    def check_rows(self) -> list[Row]:
        """The table of promised and measured, with its head."""
        head = ("model", "promise", "promised", "measured", "samples", "verdict")
        return [head, *(_check_row(check) for check in self.checks)]

    def change_rows(self) -> list[Row]:
        """The table of what changed since the baseline, with its head."""
        head = ("model", "statistic", "before", "now", "change (99 % interval)", "verdict")
        return [head, *(_change_row(change) for change in self.changes)]


def verdict(record: Record, setting: Setting, baseline: Record | None) -> Verdict:
    """Judge a run by its stack and profile, and by a stored run if there is one."""
    changes = () if baseline is None else compare(record, baseline)
    return Verdict(record, judge(record, setting.stack, setting.profile), changes)


def figure(value: float | None, unit: str) -> str:
    """A value with its unit, in three digits or so."""
    match value, unit:
        case None, _:
            return "-"
        case float() | int(), "%":
            return f"{value:.1%}" if value else "0%"
        case float() | int(), "s":
            return f"{value * 1000:.0f} ms" if abs(value) < 1 else f"{value:.2f} s"
        case float() | int(), "":
            return f"{value:g}"
    return f"{value:.1f} {unit}"


def _check_row(check: Check) -> Row:
    more = check.promise in {"answered requests", "tokens_per_second"}
    promised = ("≥ " if more else "≤ ") + figure(check.promised, check.unit)
    said = "kept" if check.kept else "VIOLATED"
    return (
        check.model,
        check.promise,
        promised,
        figure(check.measured, check.unit),
        str(check.samples),
        f"{said}: {check.reason}" if check.reason else said,
    )


def _change_row(change: Change) -> Row:
    said = {None: "too few to tell", True: "WORSE", False: "no worse"}[change.worse]
    interval = "-"
    if change.low is not None and change.high is not None:
        interval = f"{figure(change.low, change.unit)} to {figure(change.high, change.unit)}"
    before, now = figure(change.before, change.unit), figure(change.now, change.unit)
    return change.model, change.name, before, now, interval, said


def as_text(rows: Sequence[Row]) -> str:
    """A table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(found: Verdict) -> str:
    """A summary for a comment on a change."""
    said = "kept its promises" if found.passed else "**broke its promises**"
    record = found.record
    parts = [
        f"### Load test `{record.profile}` of {record.stack}: {said}\n",
        f"{len(record.samples)} requests in {record.seconds:.0f} s.\n",
        _markdown_table(found.check_rows()),
    ]
    if found.changes:
        parts += ["\nAgainst the baseline:\n", _markdown_table(found.change_rows())]
    return "\n".join(parts) + "\n"


def _markdown_table(rows: Sequence[Row]) -> str:
    head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])
