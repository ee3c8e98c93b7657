"""How many KV cells a server has: what the memory sum counts, and what the engine allocates."""

from __future__ import annotations

from typing import Final

CELL_PADDING: Final = 256
"""llama.cpp rounds the KV cache up to this many cells."""


def kv_cells(context: int, parallel: int) -> int:
    """Cells of the unified cache: `parallel` requests of full length, padded as llama.cpp pads them."""
    return -(-context * parallel // CELL_PADDING) * CELL_PADDING
