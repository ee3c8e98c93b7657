"""What steps cost here, learned from the steps themselves.

From it follow how much prompt a step may take without making those who stream wait too long, and how long
a client that is turned away should wait.
"""

from __future__ import annotations

from typing import Final

_SMOOTHING: Final = 0.25
_SMALLEST_CHUNK: Final = 8
_STALL_FACTOR: Final = 2.5
"""A slow model's step may grow to this multiple of a step without prompt; else its prompts never end."""
_IDLE_STEPS: Final = 4
"""With nobody streaming a step may take this many target times: it delays only newcomers."""


class Pace:
    """Running estimates, in seconds: a step that only decodes, a prompt token, a request's generation."""

    def __init__(self, target: float) -> None:
        self._target = target
        self._decode_step = 0.0
        self._prompt_token = 0.0
        self._generated = 128.0

    def chunk(self, decoding: int, capacity: int) -> int:
        """Prompt tokens for the next step, `decoding` rows aside; at most `capacity`."""
        if self._prompt_token == 0.0:
            return min(capacity, 64)
        if decoding:
            limit = max(self._target, _STALL_FACTOR * self._decode_step) - self._decode_step
        else:
            limit = _IDLE_STEPS * self._target
        return max(min(capacity, int(limit / self._prompt_token)), min(capacity, _SMALLEST_CHUNK))

    def observe(self, decoding: int, prompt_tokens: int, seconds: float) -> None:
        """Learn from one step."""
        if prompt_tokens == 0:
            self._decode_step = _blend(self._decode_step, seconds)
        elif prompt_tokens >= _SMALLEST_CHUNK:
            own = max(seconds - (self._decode_step if decoding else 0.0), 0.2 * seconds)
            self._prompt_token = _blend(self._prompt_token, own / prompt_tokens)

    def finished(self, tokens: int) -> None:
        """Learn from one finished generation of `tokens` tokens."""
        self._generated = _blend(self._generated, float(tokens))

    def wait(self, requests: int, prompt_tokens: int, slots: int) -> float:
        """Seconds until `slots` have served the `requests` with `prompt_tokens` before a newcomer."""
        decode = requests / slots * self._generated * self._decode_step
        return max(1.0, prompt_tokens * self._prompt_token + decode)


def _blend(old: float, new: float) -> float:
    return new if old == 0.0 else old + _SMOOTHING * (new - old)
