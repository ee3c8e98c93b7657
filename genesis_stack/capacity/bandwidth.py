"""How fast this machine's memory can be read: to decode a token, every weight is read once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_BYTES: Final = 256 * 2**20
CACHES: Final = 4
"""How many times the last cache what is read must be: what fits the cache says nothing of the memory."""
MOST_SHARE: Final = 8
"""At most this part of the free memory is taken."""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes a second that `threads` threads read together, and how that was measured."""

    bytes_per_second: float
    threads: int
    method: str


def measure_bandwidth(threads: int, *, seconds: float, free: int) -> Bandwidth:
    """Read an array over and over with numpy and take the fastest pass, as STREAM does.

    Only reads, because that is what decoding does to weights. numpy lets go of Python's lock meanwhile.
    Source: McCalpin, "Memory Bandwidth and Machine Balance in Current High Performance Computers" (1995).
    """
    import numpy as np

    size = max(LEAST_BYTES, min(CACHES * last_cache(), free // MOST_SHARE))
    array = np.ones(size // 8, dtype=np.int64)
    parts = np.array_split(array, threads)
    fastest, passes = float("inf"), 0
    with ThreadPoolExecutor(threads) as pool:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            begun = time.perf_counter()
            list(pool.map(_read, parts))
            fastest, passes = min(fastest, time.perf_counter() - begun), passes + 1
    who = "1 thread reads" if threads == 1 else f"{threads} threads read"
    method = f"numpy, the fastest of {passes} passes in which {who} {array.nbytes >> 20} MiB"
    return Bandwidth(array.nbytes / fastest, threads, method)


def _read(part: NDArray[np.int64]) -> None:
    """Of numpy's reductions the one with the least to compute."""
    import numpy as np

    np.bitwise_or.reduce(part)


def last_cache(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the largest cache of a processor; 0 where the kernel does not tell."""
    found = [0]
    for entry in sorted(root.glob("index*/size")):
        text = entry.read_text().strip()
        if text.endswith("K") and text[:-1].isdecimal():
            found.append(int(text[:-1]) * 1024)
    return max(found)
