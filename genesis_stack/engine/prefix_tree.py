"""Which KV cells exist and which sequences hold them: a radix tree over token runs.

A path from the root spells the tokens of a sequence; sequences that share a prefix share its nodes, as
their cells are shared in llama.cpp (`llama_memory_seq_cp` in a unified cache copies no data). The sum of
all runs is therefore the number of cells in use. The idea is RadixAttention's (Zheng et al., 2023,
arXiv:2312.07104).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass


class _Node:
    """A run of tokens that the same sequences hold; `start` is the position of its first token."""

    __slots__ = ("children", "holders", "parent", "start", "tokens")

    def __init__(self, parent: _Node | None, start: int, tokens: array[int], holders: set[int]) -> None:
        self.parent = parent
        self.start = start
        self.tokens = tokens
        self.children: list[_Node] = []
        self.holders = holders

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)


@dataclass(frozen=True, slots=True)
class Match:
    """The longest run of existing cells that begins a prompt; `holder` is a sequence that has it."""

    length: int
    holder: int
    node: _Node


class PrefixTree:
    """Token runs in the KV cache. Sequence ids are llama.cpp's.

    Cells of different families are never shared: the same tokens have other keys and values under a LoRA
    adapter than without.
    """

    def __init__(self) -> None:
        self._roots: dict[str, _Node] = {}
        self._tails: dict[int, _Node] = {}
        self.cells = 0

    def __contains__(self, sequence: int) -> bool:
        """Whether `sequence` holds any cells or was attached."""
        return sequence in self._tails

    def length(self, sequence: int) -> int:
        """Cells that `sequence` holds, shared ones included."""
        return self._tails[sequence].end

    def match(self, tokens: array[int], family: str = "") -> Match | None:
        """The longest prefix of `tokens` that is in the cache."""
        best = self._root(family)
        longest = 0
        todo = [best]  # several children may begin alike: their sequences computed the same tokens
        while todo:
            for child in todo.pop().children:
                length = child.start + common_length(child.tokens, tokens, child.start)
                if length > longest:
                    best, longest = child, length
                if length == child.end:
                    todo.append(child)
        return Match(longest, next(iter(best.holders)), best) if longest else None

    def attach(self, sequence: int, match: Match | None, family: str = "") -> None:
        """Register a new sequence that holds nothing, or the cells of `match`."""
        node = self._root(family)
        if match:
            inside = match.length - match.node.start
            node = self._split(match.node, inside) if inside < len(match.node.tokens) else match.node
        self._tails[sequence] = node
        ancestor: _Node | None = node
        while ancestor is not None:
            ancestor.holders.add(sequence)
            ancestor = ancestor.parent

    def extend(self, sequence: int, tokens: array[int]) -> None:
        """Note that cells for `tokens` were computed behind what `sequence` holds."""
        tail = self._tails[sequence]
        if tail.parent is None or tail.children or len(tail.holders) > 1:
            child = _Node(tail, tail.end, array("i"), {sequence})
            tail.children.append(child)
            self._tails[sequence] = tail = child
        tail.tokens.extend(tokens)
        self.cells += len(tokens)

    def cells_of(self, sequences: set[int]) -> int:
        """Cells that at least one of `sequences` holds."""
        total = 0
        nodes = [child for root in self._roots.values() for child in root.children]
        while nodes:
            node = nodes.pop()
            if not node.holders.isdisjoint(sequences):
                total += len(node.tokens)
                nodes += node.children
        return total

    def tokens(self, sequence: int) -> array[int]:
        """Everything that `sequence` holds."""
        runs = []
        node: _Node | None = self._tails[sequence]
        while node is not None:
            runs.append(node.tokens)
            node = node.parent
        whole = array("i")
        for run in reversed(runs):
            whole.extend(run)
        return whole

    def release(self, sequence: int) -> int:
        """Forget `sequence`; returns how many cells nobody holds any more."""
        node: _Node | None = self._tails.pop(sequence)
        freed = 0
        while node is not None:
            node.holders.discard(sequence)
            parent = node.parent
            if parent is not None and not node.holders:
                parent.children.remove(node)
                freed += len(node.tokens)
            node = parent
        self.cells -= freed
        return freed

    def _root(self, family: str) -> _Node:
        if family not in self._roots:
            self._roots[family] = _Node(None, 0, array("i"), set())
        return self._roots[family]

    def _split(self, node: _Node, at: int) -> _Node:
        """Cut `node` into two; returns the upper part."""
        parent = node.parent
        assert parent is not None  # noqa: S101 -- the root has no tokens to split
        upper = _Node(parent, node.start, node.tokens[:at], set(node.holders))
        upper.children.append(node)
        parent.children[parent.children.index(node)] = upper
        node.parent, node.start, node.tokens = upper, node.start + at, node.tokens[at:]
        return upper


def common_length(run: array[int], tokens: array[int], offset: int = 0) -> int:
    """How many tokens `run` and `tokens[offset:]` begin with in common."""
    limit = min(len(run), len(tokens) - offset)
    if limit <= 0 or run[0] != tokens[offset]:
        return 0
    if run[:limit] == tokens[offset : offset + limit]:
        return limit
    low, high = 1, limit  # run[:low] agrees, run[:high] does not
    while high - low > 1:
        middle = (low + high) // 2
        if run[low:middle] == tokens[offset + low : offset + middle]:
            low = middle
        else:
            high = middle
    return low
