"""What steps cost here, learned from the steps themselves.

From it follow how much prompt a step may take without making those who stream wait too long, and how long
a client that is turned away should wait.
"""

from __future__ import annotations

from typing import Final

_SMOOTHING: Final = 0.25
_SMALLEST_CHUNK: Final = 8
_SMALLEST_IDLE_CHUNK: Final = 32
"""With nobody streaming. Fewer rows read the weights of a large model again for almost every token."""
_TILE: Final = 64
"""Rows from which llama.cpp's flash attention works on tiles instead of row by row (GGML_FA_TILE_Q)."""
_WORTH_A_TILE: Final = _TILE // 4
"""From this many tokens on a whole tile is taken: over a long context half a tile takes nearly as long."""
_STALL_FACTOR: Final = 6.0
"""A stream may wait this many of its own steps for a piece of prompt: the prompt then gets five sixths of
the machine, and does not take much longer than it would alone."""
_IDLE_STEPS: Final = 4
"""With nobody streaming a step may take this many target times: it delays only newcomers."""
_MEMORY: Final = 0.98  # of RowCost, a step: it knows the last fifty
_SPREAD: Final = 0.01  # variance of rows below which a line through them says nothing
_SHORT_STEPS: Final = 3
"""A prompt that takes no more target times than this is computed in one go."""


class Pace:
    """Running estimates, in seconds: a step that only decodes, a prompt token, a request's generation."""

    def __init__(self, target: float) -> None:
        self._target = target
        self._rows = RowCost()
        self._decode_step = 0.0
        self._prompt_token = 0.0
        self._generated = 128.0

    def chunk(self, capacity: int, *, streaming: bool) -> int:
        """Tokens of a long prompt for the next step, at most `capacity`; fewer while others stream."""
        if self._prompt_token == 0.0:
            return min(capacity, 64)
        limit = max(self._target, _STALL_FACTOR * self._decode_step) - self._decode_step
        if not streaming:
            limit = max(limit, _IDLE_STEPS * self._target)
        tokens = int(limit / self._prompt_token)
        if tokens >= _WORTH_A_TILE:
            tokens = max(1, round(tokens / _TILE)) * _TILE
        return min(capacity, max(tokens, _SMALLEST_CHUNK if streaming else _SMALLEST_IDLE_CHUNK))

    def is_short(self, prompt_tokens: int) -> bool:
        """Whether a prompt may be computed in one go while others stream."""
        return prompt_tokens * self._prompt_token <= _SHORT_STEPS * self._target

    def row_share(self, streams: int) -> float:
        """The part of a decode step, 0 to 1, that goes with its rows when there is one for each stream."""
        return self._rows.share(streams)

    def step_share(self, seconds: float) -> float:
        """So much time, as a part of a decode step."""
        return seconds / self._decode_step if self._decode_step else 0.0

    def observe(self, prompt_tokens: int, seconds: float, rows: int) -> None:
        """Learn from one step of `rows`; without prompt tokens it was one that streamed."""
        if prompt_tokens == 0:
            self._decode_step = _blend(self._decode_step, seconds)
            self._rows.observe(rows, seconds)
        elif prompt_tokens >= _SMALLEST_CHUNK:
            self._prompt_token = _blend(self._prompt_token, seconds / prompt_tokens)

    def finished(self, tokens: int) -> None:
        """Learn from one finished generation of `tokens` tokens."""
        self._generated = _blend(self._generated, float(tokens))

    def wait(self, requests: int, prompt_tokens: int, slots: int) -> float:
        """Seconds until `slots` have served the `requests` with `prompt_tokens` before a newcomer."""
        decode = requests / slots * self._generated * self._decode_step
        return max(1.0, prompt_tokens * self._prompt_token + decode)


class RowCost:
    """What a decode step costs by its rows: a line through the steps seen, old ones counting less."""

    __slots__ = ("_count", "_rows", "_seconds", "_squares", "_together")

    def __init__(self) -> None:
        self._count = self._rows = self._seconds = self._squares = self._together = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """Note one step."""
        self._count = _MEMORY * self._count + 1
        self._rows = _MEMORY * self._rows + rows
        self._seconds = _MEMORY * self._seconds + seconds
        self._squares = _MEMORY * self._squares + rows * rows
        self._together = _MEMORY * self._together + rows * seconds

    def share(self, rows: int) -> float:
        """How much of a step of `rows` grows with them, 0 to 1; 0 until steps of several sizes were seen."""
        spread = self._count * self._squares - self._rows * self._rows
        if spread <= _SPREAD * self._count * self._count:
            return 0.0
        slope = (self._count * self._together - self._rows * self._seconds) / spread
        fixed = (self._seconds - slope * self._rows) / self._count
        growing = max(0.0, slope) * rows
        return growing / (growing + max(fixed, 0.0)) if growing else 0.0


def _blend(old: float, new: float) -> float:
    return new if old == 0.0 else old + _SMOOTHING * (new - old)
