"""Which request comes next: each target in its share, evenly spread, the same in every run."""

from __future__ import annotations

from collections.abc import Sequence

from genesis_stack.loadtest.setting import Target


class Mix:
    """Smooth weighted round-robin, as nginx balances its upstreams: no chance decides what a run contains."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._credit = [0.0] * len(targets)
        self._total = sum(target.share for target in targets)
        self._made = 0

    def next(self) -> tuple[int, Target]:
        """The number of this request, from 0, and its target."""
        for at, target in enumerate(self._targets):
            self._credit[at] += target.share
        best = max(range(len(self._targets)), key=self._credit.__getitem__)
        self._credit[best] -= self._total
        self._made += 1
        return self._made - 1, self._targets[best]
