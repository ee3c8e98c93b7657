"""What is left of a stack without its invalid values, so that the rest is checked in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from genesis_stack.spec.model import Stack
from genesis_stack.spec.problems import Path

_ROUNDS = 8
"""A part that misses something takes what it is part of with it, one level a round."""

_IDENTITY = {"api_version": "genesis.stack/v1", "name": "unnamed"}


def remainder(content: Any, error: ValidationError) -> Stack | None:
    """The Stack without what `error` is about; None if nothing of use is left."""
    if not isinstance(content, Mapping):
        return None
    for _ in range(_ROUNDS):
        content = _IDENTITY | _without(content, _culprits(error, content), ())
        try:
            return Stack.model_validate(content)
        except ValidationError as next_error:
            error = next_error
    return None


def _culprits(error: ValidationError, content: Any) -> frozenset[Path]:
    return frozenset(_present(detail["loc"], content) for detail in error.errors(include_url=False))


def _present(location: Path, content: Any) -> Path:
    """What is there of a location, in mappings alone; lists go as a whole, to keep their order."""
    path: Path = ()
    for part in location:
        if not isinstance(content, Mapping) or part not in content:
            break
        path, content = (*path, part), content[part]
    return path


def _without(content: Any, culprits: frozenset[Path], path: Path) -> Any:
    if not isinstance(content, Mapping):
        return content
    return {
        key: _without(value, culprits, (*path, key))
        for key, value in content.items()
        if (*path, key) not in culprits
    }
