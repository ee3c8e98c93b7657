"""Where images stand in a prompt, and how cells and positions differ because of them.

An image fills a run of KV cells. With M-RoPE (Qwen2-VL, Wang et al., 2024, arXiv:2409.12191) these cells
lie on a grid of positions, and the text behind them goes on sooner than their number tells. So a prompt has
cells, which are counted, and positions, which llama.cpp is told.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from genesis_stack.engine.interface import ImageSpan, Token


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A span with its embeddings: float32, `span.cells` rows as llama.cpp's model takes them."""

    span: ImageSpan
    embeddings: bytes


class Images:
    """The images of one prompt, in order; without any, cells and positions are the same."""

    __slots__ = ("_loaded",)

    def __init__(self, loaded: Sequence[LoadedImage] = ()) -> None:
        self._loaded = tuple(loaded)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._loaded)

    def position(self, cell: int) -> int:
        """Position of the text at index `cell` of the prompt or of what follows it."""
        return cell + sum(one.span.positions - one.span.cells for one in self._loaded if one.span.end <= cell)

    def at(self, cell: int) -> LoadedImage | None:
        """The image that fills this cell."""
        return next((one for one in self._loaded if one.span.start <= cell < one.span.end), None)

    def gap(self, cell: int) -> int | None:
        """Cells of text from `cell` to the next image; None where no image follows."""
        return next((one.span.start - cell for one in self._loaded if one.span.start >= cell), None)

    def whole(self, length: int) -> int:
        """The most cells up to `length` that end inside no image."""
        inside = self.at(length)
        return length if inside is None else inside.span.start


NO_IMAGES = Images()


def stand_ins(digest: bytes, cells: int) -> tuple[Token, ...]:
    """Negative ids by which the prefix cache knows an image's cells; the same for the same content only."""
    bits = array("I", hashlib.shake_256(digest).digest(4 * cells))
    return tuple(-1 - (word & 0x7FFF_FFFF) for word in bits)
