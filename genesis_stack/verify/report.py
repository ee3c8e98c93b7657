"""What a run of the checks found: one finding a check, grouped by promise, with what was read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["holds", "violated", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one host, and of one model if it is about one.

    `check` names it for programs, `sentence` for people. `reason` tells what is violated, or why it was not
    checked; `evidence` is what was read.
    """

    promise: str
    check: str
    sentence: str
    host: str
    model: str
    outcome: Outcome
    reason: str = ""
    evidence: Sequence[tuple[str, str]] = ()

    @property
    def about(self) -> str:
        """The sentence, and what it is about."""
        return f"{self.model}: {self.sentence}" if self.model else self.sentence


@dataclass(frozen=True, slots=True)
class Report:
    """All findings; `machines` holds the facts of each host, `started` is a UNIX time, `seconds` how long."""

    stack: str
    started: float
    seconds: float
    machines: Mapping[str, Mapping[str, str]]
    findings: Sequence[Finding]

    def count(self, outcome: Outcome) -> int:
        """How many checks ended so."""
        return sum(finding.outcome == outcome for finding in self.findings)

    @property
    def kept(self) -> bool:
        """Whether something was checked and nothing is violated."""
        return self.count("holds") > 0 and self.count("violated") == 0

    def promises(self) -> Iterator[tuple[str, Sequence[Finding]]]:
        """Findings by promise, in the order of the checks."""
        for promise in dict.fromkeys(finding.promise for finding in self.findings):
            yield promise, [finding for finding in self.findings if finding.promise == promise]

    def as_json(self) -> dict[str, Any]:
        """Everything, with a version."""
        counts = {outcome: self.count(outcome) for outcome in ("holds", "violated", "not checked")}
        return {"schema_version": 1, "kept": self.kept, "counts": counts, **asdict(self)}


def together(reports: Mapping[str, Report]) -> Report:
    """One report of several hosts, by the names that the stack gives them."""
    found = tuple(replace(one, host=name) for name, report in reports.items() for one in report.findings)
    return Report(
        stack=next(iter(reports.values())).stack,
        started=min(report.started for report in reports.values()),
        seconds=max(report.seconds for report in reports.values()),
        machines={name: facts for name, report in reports.items() for facts in report.machines.values()},
        findings=found,
    )


def write_report(report: Report, path: Path) -> None:
    """Save a report for `read_report`."""
    path.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")


def read_report(path: Path) -> Report:
    """A saved report."""
    data = json.loads(path.read_text(encoding="utf-8"))
    findings = tuple(
        Finding(**{**one, "evidence": tuple((label, text) for label, text in one["evidence"])})
        for one in data["findings"]
    )
    return Report(data["stack"], data["started"], data["seconds"], data["machines"], findings)
