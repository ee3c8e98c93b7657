"""`stack.yaml` → `Stack`, or all that is wrong with it in one error.

In four passes, each of which goes on after a problem: bytes to text (`source`), text to values with their
positions (`document`), values to a Stack (pydantic, put into words by `verdict`), and the relations between
its parts (`checks`), which look at whatever is valid by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path as FilePath

from pydantic import ValidationError

from genesis_stack.spec import migration
from genesis_stack.spec import source as files
from genesis_stack.spec.checks import Declared, Finding, check
from genesis_stack.spec.document import Document, parse
from genesis_stack.spec.effective import resolve
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import MOST_PROBLEMS, InvalidStackError, Problem, show_path
from genesis_stack.spec.remainder import remainder
from genesis_stack.spec.verdict import UNKNOWN_KEY, problems_of


def load(path: str | FilePath) -> Stack:
    """Read, validate and resolve a stack file.

    Raises:
        InvalidStackError: with every problem, at its line and column.
    """
    return _stack(files.read(path))


def loads(text: str | bytes, name: str = "stack.yaml") -> Stack:
    """The same for a stack that is in memory; messages call it `name`."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return _stack(files.decode(data, name))


def _stack(source: files.Source) -> Stack:
    document = parse(source)
    problems = list(document.problems)
    if document.complete and document.content is None:
        what, hint = "is empty", "`genesis-stack init` writes a stack to start from"
        problems.append(Problem(document.name, 1, 1, "", what, hint))
    elif (other := _other_version(document)) is not None:
        problems.append(other)  # whatever else is unknown there may be right in its own version
    elif document.complete:
        stack, judged = _judge(document)
        problems += list(islice(_news(judged, problems), MOST_PROBLEMS))
        if stack is not None and not problems:
            return resolve(stack)
    raise InvalidStackError(problems)


def _other_version(document: Document) -> Problem | None:
    return migration.of_another_version(document, migration.MIGRATIONS, migration.CURRENT)


def _judge(document: Document) -> tuple[Stack | None, list[Problem]]:
    """The Stack, if its values are valid, and what is wrong with them and between them, up to a bound."""
    declared = Declared.by(document.content)
    try:
        stack = Stack.model_validate(document.content)
    except ValidationError as error:
        problems = list(islice(problems_of(error, document, Stack), MOST_PROBLEMS))
        spoilt = {path[:2] for path, problem in problems if problem.what != UNKNOWN_KEY}
        rest = remainder(document.content, error)
        findings = (
            [] if rest is None else [one for one in check(rest, declared) if one.path[:2] not in spoilt]
        )
        return None, [problem for _, problem in problems] + [
            _placed(finding, document) for finding in findings
        ]
    return stack, [_placed(finding, document) for finding in check(stack, declared)]


def _placed(finding: Finding, document: Document) -> Problem:
    find = document.positions.of_key if finding.at_key else document.positions.of_value
    mark = find(finding.path)
    path = show_path(finding.path)
    return Problem(document.name, mark.line, mark.column, path, finding.what, finding.hint)


def _news(problems: Iterable[Problem], known: Iterable[Problem]) -> Iterator[Problem]:
    """Each problem once, and none where the text itself is already in question."""
    places = {(problem.line, problem.column) for problem in known}
    for problem in dict.fromkeys(problems):
        if (problem.line, problem.column) not in places:
            yield problem
