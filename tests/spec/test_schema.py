"""The JSON Schema: the committed copy, and its agreement with the loader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from genesis_stack.cli.schema import schema as verb
from genesis_stack.spec.model import Stack
from genesis_stack.spec.schema import schema_text, stack_schema
from spec.stacks import COMMITTED, DIGEST, ROOT, changed

SCHEMA_FILE = ROOT / "schema" / "stack.schema.json"
SCHEMA = Draft202012Validator(stack_schema())


def test_the_committed_schema_is_the_current_one() -> None:
    """Editors check against what the loader checks; `genesis-stack schema` writes the file anew."""
    assert SCHEMA_FILE.read_text() == schema_text()


def test_the_verb_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """`genesis-stack schema` prints valid JSON Schema of draft 2020-12 and nothing else."""
    verb.main([], standalone_mode=False)
    printed = json.loads(capsys.readouterr().out)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(printed)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_the_committed_stacks_hold_to_the_schema_they_name(path: Path) -> None:
    """The editor header of each stack leads to the committed schema, and the schema accepts the stack."""
    header = path.read_text().splitlines()[0]
    prefix, _, named = header.partition("$schema=")
    assert prefix == "# yaml-language-server: "
    assert (path.parent / named).resolve() == SCHEMA_FILE
    as_json = json.dumps(yaml.safe_load(path.read_text()), default=str)  # YAML 1.2 has no dates
    SCHEMA.validate(json.loads(as_json))


def undescribed(node: Any, path: str = "") -> Iterator[str]:
    """Properties without a description."""
    for name, property_ in node.get("properties", {}).items():
        if not property_.get("description"):
            yield f"{path}.{name}"
    for name, definition in node.get("$defs", {}).items():
        yield from undescribed(definition, name)


def test_every_key_is_described() -> None:
    """An editor has something to say about each key."""
    assert not list(undescribed(stack_schema()))


REFERENCE: dict[str, Any] = yaml.safe_load((ROOT / "stack.yaml").read_text())
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70_000),
    st.floats(-10, 10, allow_nan=False).filter(lambda number: not number.is_integer()),
    st.text("ab1 %./-\n\x00é", max_size=8).map(lambda text: text.rstrip("\n")),  # Python's $ allows one
    st.lists(st.sampled_from(["a", 1, None]), max_size=2),
    st.dictionaries(st.sampled_from(["a", "B", "for", "%", "a\nb"]), st.integers(0, 2), max_size=2),
    st.sampled_from(
        ["8GiB", "0s", "10s", "1%", "60/min", "vision", "auto", "always", DIGEST, "192.0.2.1", "::1"]
    ),
)


def beyond_json_schema(error: Any) -> bool:
    """Whether a problem is one that JSON Schema has no words for."""
    parsed = {"address", "date"}  # more than a pattern
    quantity = {"quantity", "greater_than", "greater_than_equal"}  # the range of what a text stands for
    return error["type"] in parsed or (isinstance(error["input"], str | int) and error["type"] in quantity)


@settings(max_examples=150, deadline=None)
@given(changed(REFERENCE, VALUES))
def test_editor_and_tool_agree_on_every_single_value(content: dict[str, Any]) -> None:
    """What one of schema and loader refuses the other refuses too, but for what JSON Schema cannot say."""
    marked = [error.message for error in SCHEMA.iter_errors(content)]
    try:
        Stack.model_validate(content)
    except ValidationError as error:
        assert marked or all(beyond_json_schema(detail) for detail in error.errors())  # noqa: PT017
    else:
        assert marked == []
