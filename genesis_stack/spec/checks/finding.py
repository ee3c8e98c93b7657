"""What a check says, and the names it may rely on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from genesis_stack.spec.problems import Path, did_you_mean


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a path; `at_key` points to the key rather than the value."""

    path: Path
    what: str
    hint: str | None = None
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """The names a file declares, whether or not what they name is valid."""

    models: frozenset[str]
    clients: frozenset[str]
    hosts: frozenset[str]
    profiles: frozenset[str]
    alerts: frozenset[str]
    receivers: frozenset[str]

    @classmethod
    def by(cls, content: Any) -> Self:
        """The names in the content of a stack file, valid or not."""
        return cls(
            models=_names(content, "models"),
            clients=_names(content, "clients"),
            hosts=_names(content, "hosts"),
            profiles=_names(content, "load"),
            alerts=_names(content, "alerts"),
            receivers=_names(content, "monitoring", "alertmanager", "receivers"),
        )


def _names(content: Any, *keys: str) -> frozenset[str]:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return frozenset(content) if isinstance(content, Mapping) else frozenset()


def unknown(
    kind: str, path: Path, name: str | None, known: Iterable[str], *, at_key: bool = False
) -> Iterator[Finding]:
    """A finding if `name` is given and not among the `known`."""
    known = frozenset(known)
    if name is not None and name not in known:
        hint = did_you_mean(name, known) or f"the stack declares no {kind}"
        yield Finding(path, f"no {kind} of this name is declared", hint, at_key)


def unknowns(kind: str, path: Path, names: Iterable[str], known: Iterable[str]) -> Iterator[Finding]:
    """A finding for each entry of a list that is not among the `known`, or there twice."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        yield from unknown(kind, (*path, index), name, known)
        if name in seen:
            yield Finding((*path, index), "is listed twice", "remove it")
        seen.add(name)
