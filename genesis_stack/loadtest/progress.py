"""How far a load test is: Locust's process writes it to a file, and who waits for it tells it on stderr.

One line that changes on a terminal, a line every few seconds elsewhere, and one at the end.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from genesis_stack.modelstore.progress import LINE_EVERY

LIVE_EVERY: Final = 1.0
_CLEAR: Final = "\r\x1b[2K"


@dataclass(frozen=True, slots=True)
class Progress:
    """What has happened `seconds` after the start."""

    seconds: float
    users: int
    answered: int
    failed: int
    tokens: int

    def write(self, path: Path) -> None:
        """Replace the file, so that nobody reads half of it."""
        half = path.with_suffix(".half")
        half.write_text(json.dumps(asdict(self)), encoding="utf-8")
        half.replace(path)

    @classmethod
    def read(cls, path: Path) -> Progress | None:
        """What was written last, if anything."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def line(self, name: str, total: float) -> str:
        """`steady: 63 s of 305 s, 2 users, 41 answered, 0 failed, 23.4 tokens/s`."""
        rate = self.tokens / self.seconds if self.seconds else 0.0
        users = "1 user" if self.users == 1 else f"{self.users} users"
        counts = f"{self.answered} answered, {self.failed} failed, {rate:.1f} tokens/s"
        return f"{name}: {self.seconds:.0f} s of {total:.0f} s, {users}, {counts}"


@contextmanager
def told(path: Path, name: str, total: float) -> Iterator[None]:
    """Tell on stderr what is written to `path`, meanwhile; `total` is how many seconds it will take."""
    over = threading.Event()
    teller = threading.Thread(target=_tell, args=(path, name, total, over), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _tell(path: Path, name: str, total: float, over: threading.Event) -> None:
    live = sys.stderr.isatty()
    while not over.wait(LIVE_EVERY if live else LINE_EVERY):
        if (now := Progress.read(path)) is not None:
            width = shutil.get_terminal_size().columns - 1
            line = now.line(name, total)
            _write(f"{_CLEAR}{line[:width]}" if live else f"{line}\n")
    last = Progress.read(path)
    _write((_CLEAR if live else "") + (f"{last.line(name, total)}\n" if last is not None else ""))


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
