"""The syntax of unit files, as systemd.syntax(7), systemd.unit(5) and systemd.exec(5) define it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from genesis_stack.errors import ExitCode, GenesisError

_UNSAFE_IN_PATH: Final = re.compile(r"""[\x00-\x1f\x7f"'\\:]""")
"""What systemd's lists of paths give a meaning of its own, each list another one."""
_PLAIN_WORD: Final = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_ESCAPES: Final = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"}


@dataclass(frozen=True, slots=True)
class Directive:
    """One assignment, or one a line if `value` is a tuple; `why` becomes the comment above it."""

    name: str
    value: str | tuple[str, ...]
    why: str = ""

    def __str__(self) -> str:
        """The comment and the lines, each with its line end."""
        values = (self.value,) if isinstance(self.value, str) else self.value
        comment = f"# {self.why}\n" if self.why else ""
        return comment + "".join(f"{self.name}={value}\n" for value in values)


@dataclass(frozen=True, slots=True)
class Section:
    """A titled run of directives."""

    title: str
    directives: Sequence[Directive]


def unit(about: str, sections: Iterable[Section]) -> str:
    """The text of a unit file under a comment that says where it comes from."""
    blocks = (f"[{section.title}]\n" + "".join(map(str, section.directives)) for section in sections)
    return f"# {about}\n\n" + "\n".join(blocks)


def seconds(value: float) -> str:
    """A time span; systemd keeps microseconds."""
    return f"{value:.6f}".rstrip("0").rstrip(".") + "s"


def literal(text: str) -> str:
    """Free text on one line: specifiers, line ends and a continuing backslash lose their meaning."""
    one_line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return one_line.rstrip("\\").replace("%", "%%")


def exec_word(text: str | PurePosixPath) -> str:
    """One argument of ExecStart=, whatever it contains; see "Command lines" in systemd.service(5)."""
    word = str(text).replace("%", "%%").replace("$", "$$")
    if _PLAIN_WORD.fullmatch(word):
        return word
    return '"' + "".join(_escape(char) for char in word) + '"'


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if char.isprintable() else f"\\x{ord(char):02x}"


def path_word(path: str | PurePosixPath) -> str:
    """One path of a list of paths.

    Raises:
        GenesisError: the path has a character that cannot be written in every such list.
    """
    word = str(path)
    if _UNSAFE_IN_PATH.search(word):
        raise GenesisError(
            f"{word!r} cannot be written in a unit file",
            hint="use a directory whose name has no quote, colon, backslash or control character",
            exit_code=ExitCode.INVALID_CONFIG,
        )
    word = word.replace("%", "%%")
    return f'"{word}"' if " " in word else word
