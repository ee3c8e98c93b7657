"""SHA-256 of an open file, at the rate of the hash itself."""

from __future__ import annotations

import hashlib
import os
from typing import Final

from genesis_stack.modelstore.progress import progress

_BLOCK: Final = 1024 * 1024  # stays in the second-level cache between read(2) and the hash
_REPORT: Final = 64 * 1024 * 1024


def sha256(descriptor: int, what: str) -> str:
    """Hash a whole file, whatever the descriptor's offset, and show progress under the name `what`.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256(usedforsecurity=True)
    block = memoryview(bytearray(_BLOCK))
    position = 0
    with progress(f"hashing {what}", os.fstat(descriptor).st_size) as advance:
        while count := os.preadv(descriptor, [block], position):
            digest.update(block[:count])
            position += count
            if position % _REPORT < count:
                advance(position)
    return digest.hexdigest()
