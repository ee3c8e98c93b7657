"""What is wrong with a stack: every problem at its line and column, in one error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from genesis_stack.errors import ExitCode, GenesisError

Path = tuple[str | int, ...]
"""Keys and list indices that lead from the top of a stack to one of its values."""

MOST_PROBLEMS: Final = 1000
"""Where the search ends: beyond these a file is not a stack with mistakes in it, but no stack."""

_LONGEST_GUESS: Final = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `line` and `column` count from 1, or are 0 where no text can be pointed at."""

    file: str
    line: int
    column: int
    path: str
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [where, self.path, self.what] if self.path else [where, self.what]
        return ": ".join(parts) + (f"\n    hint: {self.hint}" if self.hint else "")


class InvalidStackError(GenesisError):
    """A stack that cannot be used, with everything that is wrong with it in the order of the file."""

    exit_code = ExitCode.INVALID_CONFIG

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        number = len(self.problems)
        count = "1 problem" if number == 1 else f"{number} problems"
        count = f"{MOST_PROBLEMS} problems and maybe more" if number >= MOST_PROBLEMS else count
        lines = [f"{self.problems[0].file} is not a valid stack: {count}"]
        lines += [f"  {problem}" for problem in self.problems]
        super().__init__(
            "\n".join(lines), hint="nothing was changed; `genesis-stack schema` describes every key"
        )

    def document(self) -> dict[str, Any]:
        """The error as JSON data, with every problem by itself."""
        return super().document() | {"problems": [asdict(problem) for problem in self.problems]}


def show_path(path: Path) -> str:
    """A path as people write it: `models.llama.tags[0]`; odd keys are quoted and cut."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + show_key(part)
    return text


def show_key(key: str) -> str:
    """A key as it may be printed on a terminal."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key) else show_text(key)


def show_text(text: str) -> str:
    """Text from a file in quotes, with nothing in it that a terminal would act upon, cut to a line."""
    cut = text if len(text) <= 40 else text[:39] + "…"  # noqa: PLR2004 -- what fits beside a path
    return '"' + "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut) + '"'


def guess(given: str, known: Iterable[str]) -> str | None:
    """A hint that names what was probably meant, if anything comes near."""
    import difflib

    close = difflib.get_close_matches(given, sorted(known)) if len(given) <= _LONGEST_GUESS else []
    return f"did you mean {close[0]}?" if close else None


def did_you_mean(given: str, known: Iterable[str]) -> str | None:
    """A hint that names what was probably meant, or else all there is to choose from."""
    choices = sorted(known)
    if not choices:
        return None
    if hint := guess(given, choices):
        return hint
    listed = ", ".join(choices[:25])
    return f"choose from: {listed}" + (", …" if len(choices) > 25 else "")  # noqa: PLR2004 -- a line or two
