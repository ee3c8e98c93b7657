"""Which model files the generations still need."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout
from genesis_stack.modelstore.store import Store


def references(layout: Layout, *, apart_from: Collection[int] = ()) -> dict[str, list[str]]:
    """Names of the generations that refer to a digest, by digest; without those that are about to go.

    Raises:
        GenesisError: a generation cannot be read, so nobody can say what it needs.
    """
    found: dict[str, list[str]] = defaultdict(list)
    folder = layout.generations
    for generation in sorted(folder.iterdir()) if folder.is_dir() else ():
        if generation.name.isdecimal() and int(generation.name) not in apart_from:  # others are being written
            for digest in _digests(generation / "models.json"):
                found[digest].append(generation.name)
    return found


def unused(store: Store, kept: set[str]) -> list[Path]:
    """What may be deleted: files that nobody keeps, parts, and quarantined files."""
    return [store.path(digest) for digest in store.digests() if digest not in kept] + store.leftovers()


def _digests(path: Path) -> list[str]:
    try:
        return [str(digest) for digest in json.loads(path.read_text())["digests"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GenesisError(
            f"{path}: cannot be read, so what this generation needs is unknown: {error}",
            hint="nothing was deleted; restore the file, or remove the generation's directory first",
        ) from None
