"""What a YAML syntax error means, in the words of someone who writes a stack."""

from __future__ import annotations

import re
from typing import Final

import yaml

from genesis_stack.spec.problems import Problem
from genesis_stack.spec.source import Source

_REST: Final = "what follows it was not checked yet"

_MEANINGS: Final = (
    ("mapping values are not allowed", "a second ': ' on one line", "quote a value that holds ': '"),
    (
        "could not find expected ':'",
        "a key without ':' after it",
        "write key: value; indent a continued text",
    ),
    ("did not find expected key", "the indentation fits no key above", "align it with its neighbours"),
    (
        "did not find expected '-' indicator",
        "the list ends without its indentation ending",
        "start each entry with '- '",
    ),
    ("did not find expected ',' or ']'", "a list in [ ] is not closed", "close it with ]"),
    ("did not find expected ',' or '}'", "a mapping in { } is not closed", "close it with }"),
    (
        "found unexpected end of stream",
        "a quoted text is not closed",
        "close it with the quote it begins with",
    ),
    ("found unknown escape character", "an unknown \\ escape in double quotes", "use single quotes"),
    (
        "block sequence entries are not allowed",
        "a list entry where none can be",
        "put '- ' on a line of its own",
    ),
    ("did not find expected node content", "a value is missing or starts with a sign of YAML's", "quote it"),
    ("cannot start any token", "a value cannot start with this character", "quote the value"),
)
"""What the parser says, what it means, and what to do."""


def explain(error: yaml.YAMLError, source: Source) -> list[Problem]:
    """The problems behind one parser error: tabs at every line that has them, anything else where it is."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return [Problem(source.name, 1, 1, "", f"is not YAML: {error}")]
    mark = error.problem_mark
    lines = source.text.splitlines() or [""]
    tabs = [number for number, line in enumerate(lines, 1) if re.match(r" *\t+ *[^\s#]", line)]
    if mark.line + 1 in tabs:
        columns = {number: lines[number - 1].index("\t") + 1 for number in tabs}
        return [
            Problem(source.name, number, column, "", "a tab indents this line", "use spaces")
            for number, column in columns.items()
        ]
    said = str(error.problem)
    meaning, remedy = next(((means, do) for words, means, do in _MEANINGS if words in said), (said, None))
    if "is not closed" in meaning:
        mark = error.context_mark or mark
    line = min(mark.line + 1, len(lines))
    column = mark.column + 1 if line == mark.line + 1 else len(lines[-1]) + 1
    hint = f"{remedy}; {_REST}" if remedy else _REST
    return [Problem(source.name, line, column, "", f"is not YAML: {meaning}", hint)]
