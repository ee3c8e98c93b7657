"""Generations on disk: what each applied stack was, rendered to the last byte, and how it went.

    generations/00042/stack.yaml        the source
    generations/00042/files/…           every rendered file, at its path on the host
    generations/00042/generation.json   modes, owners, digests, and how each server must run
    generations/00042/models.json       the model files that it needs
    generations/00042/result.json       how the apply went; absent while it is under way
    generations/highest                 the highest number ever used, once that generation was removed
    current -> generations/00042

A generation is written under a temporary name, synced, and renamed, and goes the same way back: it exists
whole or not at all. Going back reads it from here, whatever today's renderer would make of the same source.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from genesis_stack import durable
from genesis_stack.backends import Desired, Monitor, Reader, Service
from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout
from genesis_stack.reconcile.state import read_journal
from genesis_stack.render import RenderedFile

DIGITS: Final = 5


class GenerationError(GenesisError):
    """A stored generation is missing or damaged."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredFile(_Frozen):
    """One rendered file; its content stands below `files/`."""

    path: PurePosixPath
    mode: int
    owner: str
    sha256: str


class Result(_Frozen):
    """How an apply ended. `load_seconds` is how long each server took from its start until it was ready."""

    schema_version: Literal[1] = 1
    outcome: Literal["applied", "refused", "rolled back", "rollback failed"]
    reason: str = ""
    finished: float
    load_seconds: dict[str, float] = {}


class StoredGeneration(_Frozen):
    """`generation.json`."""

    schema_version: Literal[1] = 1
    number: int
    created: float
    name: str
    files: tuple[StoredFile, ...]
    services: dict[str, Service]
    monitors: dict[str, Monitor] = {}
    reader: Reader | None = None


class StoredModels(_Frozen):
    """`models.json`: what the collector of old model files must leave alone."""

    schema_version: Literal[1] = 1
    digests: tuple[str, ...]


class Generations:
    """All generations of one layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def path(self, number: int) -> Path:
        """Directory of a generation."""
        return self.layout.generations / f"{number:0{DIGITS}}"

    def numbers(self) -> list[int]:
        """Every generation there is, oldest first."""
        with contextlib.suppress(FileNotFoundError):
            names = (entry.name for entry in self.layout.generations.iterdir())
            return sorted(int(name) for name in names if name.isdigit())
        return []

    def current(self) -> int | None:
        """The generation in force."""
        try:
            return int(self.layout.current.readlink().name)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise GenerationError(
                f"{self.layout.current} does not point to a generation",
                hint="remove it and apply the stack again",
            ) from None

    def last_applied(self) -> int | None:
        """The newest whole generation that was once in force."""
        for number in reversed(self.numbers()):
            result = self.result(number)
            if result is not None and result.outcome == "applied":
                with contextlib.suppress(GenerationError):
                    self.load(number)
                    return number
        return None

    def before(self, number: int | None) -> int | None:
        """The last generation before this one that was applied: where a rollback goes."""
        older = [one for one in self.numbers() if number is not None and one < number]
        results = ((one, self.result(one)) for one in reversed(older))
        return next((one for one, result in results if result and result.outcome == "applied"), None)

    def surplus(self, keep: int) -> list[int]:
        """All but the generation in force and `keep` others, oldest first.

        Of the others, the one that a rollback goes to is kept first, then the newest. Where the link
        `current` is lost, the last that was applied counts as in force. Both ends of an interrupted switch
        are kept: the next run goes to one of them.
        """
        in_force = self.current() or self.last_applied()
        journal = read_journal(self.layout)
        kept = {in_force} if journal is None else {in_force, journal.source, journal.target}
        back = self.before(in_force)
        others = [number for number in reversed(self.numbers()) if number not in kept]
        others.sort(key=lambda number: number != back)
        return sorted(others[keep:])

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove these generations, in this order; their numbers are not used again."""
        self._sweep()
        for number in numbers:
            if number == max(self.numbers()):
                durable.write(self._highest_file, f"{self._highest()}\n", 0o600)
            durable.rename(self.path(number), self._scratch(number))
            durable.remove_tree(self._scratch(number))

    @property
    def _highest_file(self) -> Path:
        return self.layout.generations / "highest"

    def _highest(self) -> int:
        """The highest number ever used."""
        try:
            recorded = int(self._highest_file.read_text())
        except FileNotFoundError:
            recorded = 0
        except (OSError, ValueError) as error:
            raise GenerationError(
                f"{self._highest_file} is damaged: {error}",
                hint="write the highest number that a generation ever had into it",
            ) from None
        return max(recorded, *self.numbers(), 0)

    def set_current(self, number: int | None) -> None:
        """Point `current` at a generation, or at none."""
        if number is None:
            durable.remove(self.layout.current)
        else:
            durable.symlink(self.layout.current, f"generations/{number:0{DIGITS}}")

    def add(self, desired: Desired) -> int:
        """Write the next generation, synced, and return its number."""
        self._sweep()
        number = self._highest() + 1
        target, scratch = self.path(number), self._scratch(number)
        for directory in (self.layout.generations, scratch):
            durable.mkdir(directory, 0o700)
        for file in desired.files.values():
            durable.write(scratch / "files" / file.path.relative_to("/"), file.content, 0o600)
        durable.write(scratch / "stack.yaml", desired.source, 0o600)
        stored = StoredGeneration(
            number=number,
            created=time.time(),
            name=desired.name,
            files=tuple(
                StoredFile(path=file.path, mode=file.mode, owner=file.owner, sha256=digest(file.content))
                for file in desired.files.values()
            ),
            services=dict(desired.services),
            monitors=dict(desired.monitors),
            reader=desired.reader,
        )
        models = StoredModels(digests=desired.digests)
        durable.write(scratch / "models.json", models.model_dump_json(indent=2) + "\n", 0o600)
        durable.write(scratch / "generation.json", stored.model_dump_json(indent=2) + "\n", 0o600)
        durable.rename(scratch, target)
        return number

    def _scratch(self, number: int) -> Path:
        """Its name while it is written or removed."""
        return self.layout.generations / f".{self.path(number).name}.tmp"

    def _sweep(self) -> None:
        """Remove what an interrupted `add` or `remove` left behind."""
        if self.layout.generations.is_dir():
            for scratch in self.layout.generations.glob(".*.tmp"):
                durable.remove_tree(scratch)

    def info(self, number: int) -> StoredGeneration:
        """The index of a generation.

        Raises:
            GenerationError: there is no such generation, or its index is damaged.
        """
        path = self.path(number) / "generation.json"
        try:
            return StoredGeneration.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            numbers = ", ".join(map(str, self.numbers())) or "none"
            raise GenerationError(f"no generation {number}", hint=f"there are: {numbers}") from None
        except ValueError as error:
            raise GenerationError(f"{path} is damaged: {error}") from None

    def load(self, number: int | None) -> Desired:
        """What a generation wants of the host; for None, nothing.

        Raises:
            GenerationError: it is missing, or a stored file is not what was stored.
        """
        if number is None:
            return Desired.nothing()
        stored = self.info(number)
        root = self.path(number)
        try:
            files = dict(self._load_files(root / "files", stored))
            source = (root / "stack.yaml").read_text()
            models = StoredModels.model_validate_json((root / "models.json").read_bytes())
        except (OSError, ValueError) as error:
            raise GenerationError(f"generation {number} is damaged: {error}") from None
        return Desired(
            stored.name, source, files, stored.services, models.digests, stored.monitors, stored.reader
        )

    def _load_files(
        self, root: Path, stored: StoredGeneration
    ) -> Iterator[tuple[PurePosixPath, RenderedFile]]:
        for file in stored.files:
            content = (root / file.path.relative_to("/")).read_text()
            if digest(content) != file.sha256:
                raise GenerationError(f"generation {stored.number}: {file.path} is not what was stored")
            yield file.path, RenderedFile(file.path, content, file.mode, file.owner)

    def finish(self, number: int, result: Result) -> None:
        """Record how the apply of a generation went."""
        durable.write(self.path(number) / "result.json", result.model_dump_json(indent=2) + "\n", 0o600)

    def result(self, number: int) -> Result | None:
        """How the apply of a generation went; None if it never ended."""
        try:
            return Result.model_validate_json((self.path(number) / "result.json").read_bytes())
        except (OSError, ValueError):
            return None

    def load_seconds(self) -> Mapping[str, float]:
        """How long each model's last start took, over all generations."""
        known: dict[str, float] = {}
        for number in self.numbers()[-10:]:
            result = self.result(number)
            known |= result.load_seconds if result is not None else {}
        return known


def digest(content: str) -> str:
    """SHA-256 of a file's text."""
    return sha256(content.encode()).hexdigest()
