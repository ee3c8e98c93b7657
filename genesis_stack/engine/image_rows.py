"""The `llama_batch` of a piece of an image: embeddings instead of tokens, all of one sequence."""

from __future__ import annotations

import ctypes
from typing import Any

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.images import LoadedImage
from genesis_stack.engine.projector import Projector


class ImageRows:
    """Rows `start` to `start + count` of `image`, whose first cell has position `first` in `sequence`."""

    __slots__ = ("_kept", "causal", "struct")

    def __init__(
        self, projector: Projector, image: LoadedImage, *, sequence: int, first: int, start: int, count: int
    ) -> None:
        self.causal = image.span.causal
        grid = projector.positions(image.span, first)[start : start + count]
        by_section = [position for section in zip(*grid, strict=True) for position in section]
        positions = (ctypes.c_int32 * len(by_section))(*by_section)
        int_p = ctypes.POINTER(ctypes.c_int32)
        owner = ctypes.c_int32(sequence)
        counts = (ctypes.c_int32 * count)(*([1] * count))
        owners = (int_p * count)(*([ctypes.pointer(owner)] * count))
        outputs = (ctypes.c_int8 * count)()
        whole = ctypes.c_char_p(image.embeddings)
        address = ctypes.cast(whole, ctypes.c_void_p).value or 0
        offset = start * projector.width * ctypes.sizeof(ctypes.c_float)
        self._kept = (positions, owner, counts, owners, outputs, image.embeddings)
        self.struct: Any = lib.llama_batch(
            n_tokens=count,
            embd=ctypes.cast(address + offset, ctypes.POINTER(ctypes.c_float)),
            pos=ctypes.cast(positions, int_p),
            n_seq_id=ctypes.cast(counts, int_p),
            seq_id=ctypes.cast(owners, ctypes.POINTER(int_p)),
            logits=ctypes.cast(outputs, ctypes.POINTER(ctypes.c_int8)),
        )
