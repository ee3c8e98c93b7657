"""The text of a stack file, read once and within bounds."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from genesis_stack.spec.problems import MOST_PROBLEMS, InvalidStackError, Problem

MOST_BYTES: Final = 1024 * 1024
"""Size cap of a stack file: a thousand models fit."""

_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)
_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_REASONS: Final[dict[int | None, tuple[str, str | None]]] = {
    errno.ENOENT: (
        "no such file",
        "give the path of a stack, or let `genesis-stack init` write one",
    ),
    errno.EACCES: ("permission denied", "make it readable for the user who runs this"),
    errno.EISDIR: ("is a directory", "give the file in it"),
    errno.EINVAL: ("is no regular file", "give a file of its own"),
    errno.ENAMETOOLONG: ("the name is too long", None),
    errno.ELOOP: ("its symbolic links lead in a circle", None),
    errno.ENOTDIR: ("a part of its path is no directory", None),
}


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one stack file; `name` is what messages call it."""

    name: str
    text: str


def read(path: str | Path) -> Source:
    """Read a stack file.

    Raises:
        InvalidStackError: it is missing, unreadable, no regular file, too large, not UTF-8, or holds
            control characters.
    """
    name = str(path)
    try:
        data = _bounded(name)
    except OSError as error:
        what, hint = _REASONS.get(error.errno, (str(error.strerror), None))
        raise InvalidStackError([Problem(_printable(name), 0, 0, "", what, hint)]) from None
    except ValueError:  # NUL in the path
        raise InvalidStackError([Problem(_printable(name), 0, 0, "", "no such file")]) from None
    return decode(data, _printable(name))


def decode(data: bytes, name: str) -> Source:
    """The text of `data`; raises InvalidStackError as `read` does."""
    if len(data) > MOST_BYTES:
        what = f"is larger than {MOST_BYTES // 1024} KiB, so it is no stack"
        raise InvalidStackError([Problem(name, 0, 0, "", what, "split it into one stack a host")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = (
            before.count(b"\n") + 1,
            len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1,
        )
        what = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise InvalidStackError([Problem(name, line, column, "", what, "save the file as UTF-8")]) from None
    problems = [
        Problem(name, *locate(text, found.start()), "", _unprintable(found.group()), "delete it")
        for found in islice(_UNPRINTABLE.finditer(text), MOST_PROBLEMS)
    ]
    if problems:
        raise InvalidStackError(problems)
    return Source(name, text)


def locate(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a character."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _bounded(name: str) -> bytes:
    """The file's bytes, one more than allowed at most; a FIFO or device is refused, not waited for."""
    with open(name, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return file.read(MOST_BYTES + 1)


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


def _unprintable(char: str) -> str:
    if char in _BIDI:
        return (
            f"character U+{ord(char):04X} changes the direction of text, so that it reads as something else"
        )
    return f"control character U+{ord(char):04X}"


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name)
