"""The rows of one `llama_decode`, in memory laid out once and filled anew each step."""

from __future__ import annotations

import ctypes
from array import array
from typing import Any

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.interface import Token


class Batch:
    """A `llama_batch` of at most `capacity` rows; every row belongs to exactly one sequence.

    Flat arrays instead of `llama_batch_init`'s rows: filling a row is then three stores, and filling a run
    of prompt tokens three copies.
    """

    __slots__ = ("_counting", "_logits", "_positions", "_sequences", "_struct", "_tokens", "capacity", "size")

    def __init__(self, capacity: int, positions: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._tokens = (ctypes.c_int32 * capacity)()
        self._positions = (ctypes.c_int32 * capacity)()
        self._sequences = (ctypes.c_int32 * capacity)()
        self._logits = (ctypes.c_int8 * capacity)()
        self._counting = array("i", range(positions))
        int_p = ctypes.POINTER(ctypes.c_int32)
        first = ctypes.addressof(self._sequences)
        pointers = (int_p * capacity)(*(ctypes.cast(first + 4 * row, int_p) for row in range(capacity)))
        counts = (ctypes.c_int32 * capacity)(*([1] * capacity))
        self._struct: Any = lib.llama_batch(
            n_tokens=0,
            token=ctypes.cast(self._tokens, int_p),
            embd=None,
            pos=ctypes.cast(self._positions, int_p),
            n_seq_id=ctypes.cast(counts, int_p),
            seq_id=ctypes.cast(pointers, ctypes.POINTER(int_p)),
            logits=ctypes.cast(self._logits, ctypes.POINTER(ctypes.c_int8)),
        )

    @property
    def struct(self) -> Any:
        """The `llama_batch` to pass by value."""
        self._struct.n_tokens = self.size
        return self._struct

    @property
    def room(self) -> int:
        """Rows that still fit."""
        return self.capacity - self.size

    def clear(self) -> None:
        """Start over."""
        self.size = 0

    def add(self, sequence: int, token: Token, position: int) -> int:
        """Add one row whose logits are wanted; returns its index."""
        row = self.size
        self._tokens[row] = token
        self._positions[row] = position
        self._sequences[row] = sequence
        self._logits[row] = 1
        self.size = row + 1
        return row

    def add_run(
        self, sequence: int, tokens: array[int], start: int, count: int, position: int, *, output: bool
    ) -> int:
        """Add `tokens[start:start + count]` from `position` on; returns the last row's index.

        Logits are computed for the last row only, and only if `output` is set.
        """
        row = self.size
        ctypes.memmove(
            ctypes.addressof(self._tokens) + 4 * row, tokens.buffer_info()[0] + 4 * start, 4 * count
        )
        ctypes.memmove(
            ctypes.addressof(self._positions) + 4 * row,
            self._counting.buffer_info()[0] + 4 * position,
            4 * count,
        )
        self._sequences[row : row + count] = [sequence] * count
        ctypes.memset(ctypes.addressof(self._logits) + row, 0, count)
        self.size = row + count
        self._logits[self.size - 1] = int(output)
        return self.size - 1

    def want_all(self) -> None:
        """Mark every row as an output, as pooled embeddings need it."""
        ctypes.memset(self._logits, 1, self.size)
