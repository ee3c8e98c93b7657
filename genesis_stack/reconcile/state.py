"""What a run must know of the runs before it: the inventory, and a switch that was interrupted."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from genesis_stack import durable
from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout

Kept = TypeVar("Kept", bound=BaseModel)


class StateError(GenesisError):
    """A state file cannot be read."""


class State(BaseModel):
    """`state.json`. `inventory` is every path that we installed and have not removed: all we may prune."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1
    inventory: tuple[PurePosixPath, ...] = ()


class Journal(BaseModel):
    """`journal.json`, there only while a switch is under way.

    `source` is the generation it left, `target` the one it goes to, None being a host without us. `restart`
    are the models whose servers run, or may run, with files other than those on disk. `phase` is `forward`,
    or `back` when a gate has failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1
    phase: Literal["forward", "back"]
    source: int | None
    target: int | None
    restart: tuple[str, ...]
    reason: str = ""


def read_state(layout: Layout) -> State:
    """The state, or that of a fresh host."""
    return _read(State, layout.state_file) or State()


def write_state(layout: Layout, state: State) -> None:
    """Replace the state."""
    durable.write(layout.state_file, state.model_dump_json(indent=2) + "\n", 0o600)


def read_journal(layout: Layout) -> Journal | None:
    """The interrupted switch, if there is one."""
    return _read(Journal, layout.journal)


def write_journal(layout: Layout, journal: Journal | None) -> None:
    """Open, advance or close the journal."""
    if journal is None:
        durable.remove(layout.journal)
    else:
        durable.write(layout.journal, journal.model_dump_json(indent=2) + "\n", 0o600)


def _read(kind: type[Kept], path: Path) -> Kept | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StateError(
            f"{path} is damaged: {error}", hint="move it away and apply the stack again"
        ) from None
