"""Sequence ids and KV cells: who has them, who left them as cache, and who must make room.

Finished sequences stay as cache, because the next request often begins with what they hold. They are few:
flash attention skips masked cells, but it must look at each mask, so idle cells slow everyone down.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import Final

from genesis_stack.engine.context import Context
from genesis_stack.engine.images import Images
from genesis_stack.engine.prefix_store import PrefixStore, SavedPrefix
from genesis_stack.engine.prefix_tree import Match, PrefixTree, common_length

_IDLE_SHARE: Final = 0.25
_WORTH_RECALLING: Final = 64
"""Tokens that a saved prefix must add to what the cache holds; below, computing them is as quick."""


class Slots:
    """At most `live` sequences being decoded and `cached` finished ones.

    Args:
        context: whose cells are given out.
        live: sequences decoded at a time.
        cached: finished sequences to keep.
        shares: whether the model's state can be shared at all.
        store: takes what has to leave.
    """

    def __init__(self, context: Context, store: PrefixStore, *, live: int, cached: int, shares: bool) -> None:
        self._context = context
        self._store = store
        self._cached_limit = cached
        self._shares = shares
        self._free = list(range(live + cached))
        self._cached: OrderedDict[int, None] = OrderedDict()  # least recently used first
        self._adapters: dict[int, str] = {}  # by slot; the store keeps what was computed without any
        self.tree = PrefixTree()

    @staticmethod
    def count(live: int, cached: int) -> int:
        """Sequence ids that the context must provide."""
        return live + cached

    def match(self, prompt: array[int], images: Images, adapter: str = "") -> Match | None:
        """The longest prefix of `prompt` in the cache, short of its last token, whose logits are needed.

        It ends inside no image.
        """
        if not self._shares:
            return None
        found = self.tree.match(prompt[:-1], adapter)
        whole = images.whole(found.length) if found else 0
        if found and whole < found.length:
            return self.tree.match(prompt[:whole], adapter)
        return found

    def occupy(self, match: Match | None, images: Images, adapter: str = "") -> int:
        """A fresh sequence id that shares the cells of `match`."""
        slot = self._free.pop()
        self.tree.attach(slot, match, adapter)
        self._adapters[slot] = adapter
        if match:
            self._context.copy_prefix(match.holder, slot, images.position(match.length))
            if match.holder in self._cached:
                self._cached.move_to_end(match.holder)
        return slot

    def recall(self, prompt: array[int], images: Images, beyond: int) -> Match | None:
        """Bring back a saved prefix of `prompt` that is worth more than the `beyond` cells in the cache."""
        if not self._store or not self._cached_limit:
            return None
        found = self._store.best(prompt[:-1])
        if found is None or found[1] < beyond + _WORTH_RECALLING:
            return None
        saved, _ = found
        self.make_room(len(saved.tokens))
        slot = self._free.pop()
        self.tree.attach(slot, None)
        self._adapters[slot] = ""
        if not self._context.restore(slot, saved.state):
            self._context.truncate(slot, 0)
            self.tree.release(slot)
            self._free.append(slot)
            return None
        self.tree.extend(slot, saved.tokens)
        self.retire(slot)
        return self.match(prompt, images)

    def retire(self, slot: int) -> None:
        """Keep a finished sequence as cache, unless another one holds the same tokens and more."""
        tokens = self.tree.tokens(slot)
        alike = [other for other in self.cached if self._adapters[other] == self._adapters[slot]]
        for other in alike:
            held = self.tree.tokens(other)
            common = common_length(held, tokens)
            if common == len(held):
                self._drop(other)
            elif common == len(tokens):
                self._cached.move_to_end(other)
                self._drop(slot)
                return
        self._cached[slot] = None
        while len(self._cached) > self._cached_limit:
            self._evict()

    def make_room(self, cells: int) -> None:
        """Evict cache until `cells` more fit; live sequences always fit by the sum of their contexts."""
        while self._cached and self._context.cells - self.tree.cells < cells:
            self._evict()

    def trim(self, live: set[int]) -> None:
        """Evict cache until what only it holds is a fraction of what the `live` sequences hold.

        Attention looks at the mask of every cell for every row and head. While several stream, a cell that
        waits for a request which may never come costs more than it will save; where it can be kept in host
        memory it always does.
        """
        if not self._cached or (len(live) == 1 and not self._store):
            return
        held = self.tree.cells_of(live)
        while self._cached and self.tree.cells - held > _IDLE_SHARE * held:
            self._evict()

    def clear_cache(self) -> None:
        """Evict every finished sequence."""
        while self._cached:
            self._evict()

    def forget(self) -> None:
        """Drop every finished sequence without saving it."""
        for slot in self.cached:
            self._drop(slot)

    @property
    def cached(self) -> tuple[int, ...]:
        """Finished sequences, least recently used first."""
        return tuple(self._cached)

    def _evict(self) -> None:
        slot = next(iter(self._cached))
        if self._store and self._cached_limit and not self._adapters[slot]:
            self._store.put(SavedPrefix(self.tree.tokens(slot), self._context.save(slot)))
        self._drop(slot)

    def _drop(self, slot: int) -> None:
        self._cached.pop(slot, None)
        self._context.truncate(slot, 0)
        self.tree.release(slot)
        self._free.append(slot)
