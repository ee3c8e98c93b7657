"""Prefixes that had to leave the KV cache: kept in host memory, and on disk across restarts.

Reading a saved prefix back is a copy; computing it again is a prefill. What is on disk is bound to the
model and to the settings that shape its cells, carries its own digest, and is ignored when anything is off.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis_stack.engine.prefix_tree import common_length

_log = logging.getLogger("genesis.engine")

_MAGIC: Final = b"GSPC0001"
_HEADER: Final = struct.Struct("<8s32sQQ")  # magic, key, tokens, bytes of state; then both, then a SHA-256
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class SavedPrefix:
    """Tokens and the llama.cpp state of the sequence that held exactly them."""

    tokens: array[int]
    state: bytes

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return len(self.state) + 4 * len(self.tokens)


class PrefixStore:
    """Saved prefixes, least recently used first, of at most `limit` bytes together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._saved: list[SavedPrefix] = []
        self.size = 0

    def __len__(self) -> int:
        """Prefixes that are kept."""
        return len(self._saved)

    def __bool__(self) -> bool:
        """Whether anything may be kept at all."""
        return self._limit > 0

    def put(self, prefix: SavedPrefix) -> None:
        """Keep `prefix`, in place of what it contains and of what was used longest ago."""
        if prefix.size > self._limit:
            return
        for other in [s for s in self._saved if common_length(s.tokens, prefix.tokens) == len(s.tokens)]:
            self._remove(other)
        while self.size + prefix.size > self._limit:
            self._remove(self._saved[0])
        self._saved.append(prefix)
        self.size += prefix.size

    def best(self, prompt: array[int]) -> tuple[SavedPrefix, int] | None:
        """What shares the longest prefix with `prompt`, and how long that is."""
        found = max(
            ((saved, common_length(saved.tokens, prompt)) for saved in self._saved),
            key=lambda pair: pair[1],
            default=None,
        )
        if found is None or found[1] == 0:
            return None
        self._saved.remove(found[0])
        self._saved.append(found[0])
        return found

    def _remove(self, prefix: SavedPrefix) -> None:
        self._saved.remove(prefix)
        self.size -= prefix.size

    # Across restarts

    def load(self, directory: Path, key: bytes) -> int:
        """Read back what `dump` left under the same 32-byte `key`; returns how many prefixes there were."""
        for path in sorted(directory.glob("*.prefix"), key=lambda p: p.name):
            try:
                prefix = _read(path, key)
            except (OSError, ValueError) as error:
                _log.warning("prefix cache: %s is ignored: %s", path.name, error)
                continue
            self.put(prefix)
        return len(self._saved)

    def dump(self, directory: Path, key: bytes, limit: int) -> None:
        """Write at most `limit` bytes, what was used last; files of an earlier run are replaced."""
        directory.mkdir(parents=True, exist_ok=True)
        old = set(directory.glob("*.prefix"))
        kept: list[SavedPrefix] = []
        for prefix in reversed(self._saved):
            limit -= prefix.size
            if limit < 0:
                break
            kept.insert(0, prefix)
        for number, prefix in enumerate(kept):
            path = directory / f"{number:06}.prefix"
            _write(path, key, prefix)
            old.discard(path)
        for path in old:
            path.unlink(missing_ok=True)


def state_key(parts: Iterable[object]) -> bytes:
    """32 bytes that differ whenever saved state would not fit: model digest and cell layout."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).digest()


def _write(path: Path, key: bytes, prefix: SavedPrefix) -> None:
    head = _HEADER.pack(_MAGIC, key, len(prefix.tokens), len(prefix.state))
    tokens = prefix.tokens.tobytes()
    digest = hashlib.sha256(head + tokens)
    digest.update(prefix.state)
    scratch = path.with_suffix(".partial")
    with scratch.open("wb") as file:
        for part in (head, tokens, prefix.state, digest.digest()):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _read(path: Path, key: bytes) -> SavedPrefix:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            raise ValueError("it is truncated")
        magic, its_key, n_tokens, n_state = _HEADER.unpack(head)
        if magic != _MAGIC or its_key != key:
            raise ValueError("it belongs to another model, other settings or another version")
        if size != _HEADER.size + 4 * n_tokens + n_state + _DIGEST_BYTES:
            raise ValueError("its length is wrong")
        body = file.read(4 * n_tokens + n_state)
        if hashlib.sha256(head + body).digest() != file.read(_DIGEST_BYTES):
            raise ValueError("its digest is wrong")
    tokens = array("i")
    tokens.frombytes(body[: 4 * n_tokens])
    return SavedPrefix(tokens, body[4 * n_tokens :])
