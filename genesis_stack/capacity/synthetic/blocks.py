"""Random quantised blocks with small finite scales, so that activations neither vanish nor overflow.

Layouts: block_q4_K and block_q6_K in ggml's ggml-common.h.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genesis_stack.capacity.synthetic.shape import TensorType

Bytes = npt.NDArray[np.uint8]

_POOL_BLOCKS = 2**18 + 1  # some 50 MB; odd, so that rows do not repeat in step with it
_Q4_SCALE = 1e-4  # times a 6-bit scale and a 4-bit weight: about ±0.02, as trained weights are
_Q6_SCALE = 1e-4  # times an int8 scale up to 16 and a 6-bit weight: the same


class BlockPool:
    """Blocks of every type, drawn once from `seed` and dealt to tensors from random places on."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._pools = {
            TensorType.Q4_K: self._q4_k(),
            TensorType.Q6_K: self._q6_k(),
        }

    def draw(self, kind: TensorType, nbytes: int) -> Bytes:
        """`nbytes` bytes of whole blocks of a quantised type."""
        pool = self._pools[kind]
        blocks = nbytes // kind.block_bytes
        start = int(self._random.integers(len(pool)))
        return np.take(pool, np.arange(start, start + blocks), axis=0, mode="wrap").reshape(-1)

    def _random_blocks(self, kind: TensorType) -> Bytes:
        size = (_POOL_BLOCKS, kind.block_bytes)
        return self._random.integers(0, 256, size=size, dtype=np.uint8)

    def _q4_k(self) -> Bytes:
        blocks = self._random_blocks(TensorType.Q4_K)
        # d and dmin: weight = d * scale * q - dmin * min, with q around 7.5, is centred by dmin = 7.5 d.
        blocks[:, 0:4] = np.array([_Q4_SCALE, 7.5 * _Q4_SCALE], dtype=np.float16).view(np.uint8)
        return blocks

    def _q6_k(self) -> Bytes:
        blocks = self._random_blocks(TensorType.Q6_K)
        scales = self._random.integers(-16, 17, size=(_POOL_BLOCKS, 16), dtype=np.int8)
        blocks[:, 192:208] = scales.view(np.uint8)
        blocks[:, 208:210] = np.array([_Q6_SCALE], dtype=np.float16).view(np.uint8)
        return blocks
