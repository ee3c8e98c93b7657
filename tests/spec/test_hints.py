"""What is told of a value for which there is no better advice: what its setting is for."""

from __future__ import annotations

import pytest
import yaml

from genesis_stack.spec.alerts import Alert
from genesis_stack.spec.fields import Frozen
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Model, Stack
from genesis_stack.spec.monitoring import Alertmanager, Route
from genesis_stack.spec.problems import InvalidStackError, Problem, show_path
from genesis_stack.spec.runtime import EngineSettings
from genesis_stack.spec.source import Source
from genesis_stack.spec.syntax import explain
from spec.stacks import small


def problem_at(told: str, stack: dict[str, object]) -> Problem:
    """The one problem at a place."""
    with pytest.raises(InvalidStackError) as caught:
        loads(yaml.safe_dump(stack))
    (found,) = (problem for problem in caught.value.problems if problem.path == told)
    return found


@pytest.mark.parametrize(
    ("path", "value", "below", "section", "key"),
    [
        (("models",), 3, (), Stack, "models"),
        (("models", "a"), 3, (), Stack, "models"),
        (("models", "a", "budget"), 8, (), Model, "budget"),
        (("models", "a", "engine"), {"context": [1]}, ("context",), EngineSettings, "context"),
        (("models", "a", "adapters"), {"x": 1}, ("x",), Model, "adapters"),
        (("alerts",), {"Own": {"expr": "up > 1", "models": [[]]}}, ("Own", "models", 0), Alert, "models"),
        (
            ("monitoring",),
            {"alertmanager": {"routes": 1}},
            ("alertmanager", "routes"),
            Alertmanager,
            "routes",
        ),
        (
            ("monitoring",),
            {"alertmanager": {"routes": [{"models": ["a"]}]}},
            ("alertmanager", "routes", 0, "receiver"),
            Route,
            "receiver",
        ),
    ],
)
def test_it_is_told_what_the_nearest_setting_is_for(
    path: tuple[str, ...], value: object, below: tuple[str | int, ...], section: type[Frozen], key: str
) -> None:
    """That of the mapping or list around it where a name is free to choose; also of a key that is missing."""
    stack = small()
    part = stack
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    assert problem_at(show_path((*path, *below)), stack).hint == section.model_fields[key].description


def test_an_error_without_a_place_is_told_at_the_begin_of_the_file() -> None:
    """What a parser cannot even read has no line: an editor opens the file all the same."""
    (problem,) = explain(yaml.reader.ReaderError("it", 3, 7, "unicode", "not allowed"), Source("it", "a: 1"))
    assert (problem.file, problem.line, problem.column, problem.path) == ("it", 1, 1, "")
    assert "not allowed" in problem.what
