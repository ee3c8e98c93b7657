"""The bounds of single settings, held against those of the program that they are rendered for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from pydantic import ValidationError

from genesis_stack.layout import Layout
from genesis_stack.protocol.serve_config import FileRef
from genesis_stack.render import ResolvedModel
from genesis_stack.render.serve import serve_config
from genesis_stack.spec.fields import MOST_THREADS
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import InvalidStackError, Path, show_path
from genesis_stack.spec.verdict import fields_at
from spec.stacks import DIGEST, small, with_lines

NUMBERS = (0, 1, 2, 63, 64, 10**6, 2**31, 2**62, 5e-324, 1e-9, 0.5, 1.0, 1e9)


def leaves(path: Path) -> Iterator[Path]:
    """Every single setting below a path."""
    for name in fields_at(path, Stack):
        below = (*path, name)
        yield from leaves(below) if fields_at(below, Stack) else [below]


SETTINGS = [*leaves(("models", "a")), *leaves(("monitoring", "tracing"))]


def with_value(path: Path, value: object) -> dict[str, object]:
    """The small stack, with files of all kinds, and one of its settings changed."""
    content = small()
    file = {"source": "file:///x.gguf", "sha256": DIGEST}
    content["models"]["a"] |= {"projector": dict(file), "draft": dict(file)}
    content["monitoring"] = {"tracing": {"exporter": "file"}}
    part = content
    for key in path[:-1]:
        part = part.setdefault(key, {})
    part[path[-1]] = value
    return content


@pytest.mark.parametrize("path", SETTINGS, ids=show_path)
def test_a_number_that_a_stack_may_hold_is_one_that_a_server_takes(path: Path) -> None:
    """Whatever validates becomes a server's config; the bounds are told by `validate`, at their lines."""
    for number in NUMBERS:
        try:
            stack = Stack.model_validate(with_value(path, number))
        except ValidationError:
            continue
        model = stack.models["a"]
        files = ResolvedModel.of(model, lambda file: FileRef(path="/x", sha256=file.sha256, size=file.size))
        assert serve_config(stack, "a", files, Layout.system()).model == "a"


@pytest.mark.parametrize("number", ["auto", 1, MOST_THREADS])
def test_as_many_threads_as_are_told_to_be_allowed(number: object) -> None:
    """The refusal of one more names the same number."""
    path: Path = ("models", "a", "engine", "threads")
    stack = Stack.model_validate(with_value(path, number))
    assert stack.models["a"].engine.threads == number


@pytest.mark.parametrize(("key", "value"), [("limits.drain_timeout", "0s"), ("weights.size", 0)])
def test_nothing_is_no_time_to_drain_and_no_file(key: str, value: object) -> None:
    """The message says what would do."""
    path: Path = ("models", "a", *key.split("."))
    with pytest.raises(InvalidStackError) as caught:
        loads(yaml.safe_dump(with_value(path, value)))
    told = {problem.path: problem.what for problem in caught.value.problems}
    assert "more than 0" in told[f"models.a.{key}"]


def test_a_first_token_may_be_the_last() -> None:
    """An answer of one token has both at the same time."""
    stack = loads(with_lines("    slo: {ttft_p95: 2s, latency_p95: 2s}\n"))
    assert stack.models["a"].slo.ttft_p95 == 2
