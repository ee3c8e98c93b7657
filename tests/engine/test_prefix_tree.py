from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from genesis_stack.engine.prefix_tree import PrefixTree, common_length

runs = st.lists(st.integers(0, 1), max_size=6)  # few tokens, so that prefixes collide often


def shared(left: list[int], right: list[int]) -> int:
    """The naive common prefix length."""
    length = 0
    while length < min(len(left), len(right)) and left[length] == right[length]:
        length += 1
    return length


@given(runs, runs, st.integers(0, 8))
def test_common_length_is_the_number_of_equal_leading_tokens(
    run: list[int], tokens: list[int], offset: int
) -> None:
    """The search by halves agrees with counting."""
    assert common_length(array("i", run), array("i", tokens), offset) == shared(run, tokens[offset:])


@dataclass
class Held:
    """A sequence as llama.cpp has it: its tokens, and the physical cell of each."""

    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)


class TreeAgainstCells(RuleBasedStateMachine):
    """Random sequences in the tree, beside a model that knows every cell."""

    sequences = Bundle("sequences")

    def __init__(self) -> None:
        super().__init__()
        self.tree = PrefixTree()
        self.held: dict[int, Held] = {}
        self.ids = iter(range(1_000_000))
        self.cells = iter(range(1_000_000))

    def owned(self) -> set[int]:
        """Every physical cell that some sequence holds."""
        return {cell for sequence in self.held.values() for cell in sequence.cells}

    @rule(target=sequences, prompt=runs)
    def attach(self, prompt: list[int]) -> int:
        """A newcomer finds the true longest prefix, at a sequence that really holds it."""
        match = self.tree.match(array("i", prompt))
        longest = max((shared(held.tokens, prompt) for held in self.held.values()), default=0)
        assert (match.length if match else 0) == longest
        cells: list[int] = []
        if match:
            holder = self.held[match.holder]
            assert holder.tokens[: match.length] == prompt[: match.length]
            cells = holder.cells[: match.length]
        new = next(self.ids)
        self.tree.attach(new, match)
        self.held[new] = Held(prompt[: len(cells)], cells)
        return new

    @rule(sequence=sequences, tokens=runs.filter(len))
    def extend(self, sequence: int, tokens: list[int]) -> None:
        """A sequence computes cells of its own."""
        self.tree.extend(sequence, array("i", tokens))
        self.held[sequence].tokens += tokens
        self.held[sequence].cells = [*self.held[sequence].cells, *(next(self.cells) for _ in tokens)]

    @rule(sequence=consumes(sequences))
    def release(self, sequence: int) -> None:
        """Exactly what nobody else holds becomes free."""
        before = self.owned()
        del self.held[sequence]
        assert self.tree.release(sequence) == len(before - self.owned())
        assert sequence not in self.tree

    @invariant()
    def cells_are_counted_once(self) -> None:
        """`cells` is the number of distinct physical cells."""
        assert self.tree.cells == len(self.owned())

    @invariant()
    def every_sequence_keeps_its_tokens(self) -> None:
        """Splits and releases leave the others' contents alone."""
        for sequence, held in self.held.items():
            assert self.tree.tokens(sequence).tolist() == held.tokens
            assert self.tree.length(sequence) == len(held.tokens)


def test_a_longer_match_is_found_behind_a_twin() -> None:
    """Two sequences computed the same tokens; what a third one shares with either is found."""
    tree = PrefixTree()
    tree.attach(0, None)
    tree.attach(1, None)
    tree.extend(0, array("i", [1]))
    tree.extend(1, array("i", [1, 2, 3]))
    tree.attach(2, tree.match(array("i", [1, 2])))
    tree.extend(0, array("i", [2, 9]))
    match = tree.match(array("i", [1, 2, 3]))
    assert match is not None
    assert (match.length, match.holder) == (3, 1)


TestTreeAgainstCells = TreeAgainstCells.TestCase
TestTreeAgainstCells.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
