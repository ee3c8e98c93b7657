"""What `genesis-stack models` tells of a file, as data and as a line for people."""

from __future__ import annotations

from dataclasses import dataclass

from genesis_stack.modelstore.quantity import short, show_size


@dataclass(frozen=True, slots=True)
class Pulled:
    """A declared file that is in the store, and what it is to its model."""

    model: str
    role: str
    sha256: str
    size: int
    path: str

    def line(self) -> str:
        """For a terminal."""
        return f"{self.model}  {self.role}  {show_size(self.size)}  sha256 {short(self.sha256)}"


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that was verified: `damage` says what is wrong with it, where it is not ok."""

    sha256: str
    ok: bool
    hashed: bool
    damage: str | None

    def line(self) -> str:
        """For a terminal."""
        how = "hashed" if self.hashed else "unchanged since it was hashed"
        return f"{self.sha256}  " + (f"ok, {how}" if self.ok else "DAMAGED")


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of the store, what its header says, and the generations that need it."""

    sha256: str
    size: int
    verified: bool
    name: str
    architecture: str
    quantization: str
    generations: tuple[str, ...]

    def line(self) -> str:
        """For a terminal."""
        state = "verified" if self.verified else "not verified"
        use = f"generations {', '.join(self.generations)}" if self.generations else "unused"
        what = " ".join(word for word in (self.name, self.architecture, self.quantization) if word)
        return f"{short(self.sha256)}  {show_size(self.size):>9}  {state}  {use}  {what}"


@dataclass(frozen=True, slots=True)
class Collected:
    """A file or directory that goes."""

    path: str
    size: int

    def line(self) -> str:
        """For a terminal."""
        return f"{show_size(self.size):>9}  {self.path}"


@dataclass(frozen=True, slots=True)
class Imported:
    """A file that was copied into the store."""

    sha256: str
    size: int
    path: str

    def line(self) -> str:
        """What a stack needs of it."""
        return f"sha256: {self.sha256}"


Row = Pulled | Checked | Listed | Collected | Imported
"""One file, whichever verb tells of it."""
