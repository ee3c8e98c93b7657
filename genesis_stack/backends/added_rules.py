"""What promtool says of the alerts that a stack adds, at their line and column."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from genesis_stack import process
from genesis_stack.render.monitoring.files import as_yaml
from genesis_stack.render.monitoring.rules import added_rules, rules_document
from genesis_stack.spec.document import Positions, parse
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import Path as Place
from genesis_stack.spec.problems import Problem, show_path
from genesis_stack.spec.source import read

REFUSAL: Final = re.compile(r'rule \d+, "(?P<alert>\w+)": (?P<what>.+)')
ANNOTATION: Final = re.compile(r'annotation "summary": (?P<what>.+)')
HINT: Final = "`promtool check rules` says so; try the expression in Prometheus itself"


def lint_added(path: Path, stack: Stack) -> tuple[Problem, ...]:
    """Problems of the added alerts of a stack that was loaded from `path`; none where promtool is missing.

    The stack's own checks have looked for what can be told without it.
    """
    rules = tuple(added_rules(stack))
    if not rules or shutil.which("promtool") is None:
        return ()
    with tempfile.TemporaryDirectory(prefix="genesis-stack-") as folder:
        file = Path(folder) / "added.rules.yml"
        file.write_text(as_yaml(rules_document(rules)))
        checked = process.run(["promtool", "check", "rules", file], check=False)
    if checked.returncode == 0:
        return ()
    said = f"{checked.stdout}\n{checked.stderr}"
    return tuple(dict.fromkeys(_problems(path, said, parse(read(path)).positions)))


def _problems(path: Path, said: str, positions: Positions) -> Iterator[Problem]:
    for found in REFUSAL.finditer(said):
        summary = ANNOTATION.search(found["what"])
        place: Place = ("alerts", found["alert"], "summary" if summary else "expr")
        what = summary["what"] if summary else found["what"]
        mark = positions.of_value(place)
        yield Problem(str(path), mark.line, mark.column, show_path(place), what, HINT)
