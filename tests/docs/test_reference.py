"""The stack reference is what the models say, and they say something of every setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from docs.pages import DOCS
from genesis_stack.spec.model import Stack
from genesis_stack.spec.reference import stack_reference


def sections(part: Any = Stack) -> Iterator[type[BaseModel]]:
    """Every class that a stack is made of, once for each place."""
    if isinstance(part, type) and issubclass(part, BaseModel):
        yield part
        for field in part.model_fields.values():
            yield from sections(field.annotation)
    for inner in get_args(part):
        yield from sections(inner)


def test_the_page_is_what_the_models_say() -> None:
    """`genesis-stack schema --reference > docs/stack.md` makes it so again."""
    assert (DOCS / "stack.md").read_text(encoding="utf-8") == stack_reference()


def test_every_setting_says_what_it_is() -> None:
    """In a sentence of its own."""
    silent = [
        f"{section.__name__}.{name}"
        for section in sections()
        for name, field in section.model_fields.items()
        if not (field.description or "").strip().endswith(".")
    ]
    assert silent == []
    assert len(set(sections())) > 30


def test_every_setting_stands_on_the_page() -> None:
    """Under the key that is written in the file."""
    page = stack_reference()
    missing = [
        f"{section.__name__}.{key}"
        for section in sections()
        for name, field in section.model_fields.items()
        if f"| `{(key := field.alias or name)}` |" not in page
    ]
    assert missing == []
