"""Sequence ids and KV cells: who has them, who left them as cache, and who must make room.

Finished sequences stay as cache, because the next request often begins with what they hold. They are few:
flash attention skips masked cells, but it must look at each mask, so idle cells slow everyone down.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict

from genesis_stack.engine.context import Context
from genesis_stack.engine.prefix_tree import Match, PrefixTree


class Slots:
    """At most `live` sequences being decoded and `cached` finished ones.

    Args:
        context: whose cells are given out.
        live: sequences decoded at a time.
        cached: finished sequences to keep; 0 where the model's state cannot be shared.
    """

    def __init__(self, context: Context, *, live: int, cached: int) -> None:
        self._context = context
        self._cached_limit = cached
        self._free = list(range(live + cached))
        self._cached: OrderedDict[int, None] = OrderedDict()  # least recently used first
        self.tree = PrefixTree()

    @staticmethod
    def count(live: int, cached: int) -> int:
        """Sequence ids that the context must provide."""
        return live + cached

    def match(self, prompt: array[int]) -> Match | None:
        """The longest prefix of `prompt` in the cache, short of its last token, whose logits are needed."""
        return self.tree.match(prompt[:-1]) if self._cached_limit else None

    def occupy(self, match: Match | None) -> int:
        """A fresh sequence id that shares the cells of `match`."""
        slot = self._free.pop()
        self.tree.attach(slot, match)
        if match:
            self._context.copy_prefix(match.holder, slot, match.length)
            if match.holder in self._cached:
                self._cached.move_to_end(match.holder)
        return slot

    def retire(self, slot: int) -> None:
        """Keep a finished sequence as cache, unless another one holds all of it."""
        holders = [s for s in self._cached if self.tree.covers(slot, s)]
        for redundant in holders:
            self._drop(redundant)
        self._cached[slot] = None
        while len(self._cached) > self._cached_limit:
            self._evict()

    def make_room(self, cells: int) -> None:
        """Evict cache until `cells` more fit; live sequences always fit by the sum of their contexts."""
        while self._cached and self._context.cells - self.tree.cells < cells:
            self._evict()

    def clear_cache(self) -> None:
        """Evict every finished sequence."""
        while self._cached:
            self._evict()

    @property
    def cached(self) -> tuple[int, ...]:
        """Finished sequences, least recently used first."""
        return tuple(self._cached)

    def _evict(self) -> None:
        self._drop(next(iter(self._cached)))

    def _drop(self, slot: int) -> None:
        self._cached.pop(slot)
        self._context.truncate(slot, 0)
        self.tree.release(slot)
        self._free.append(slot)
