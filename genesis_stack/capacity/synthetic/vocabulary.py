"""A byte-pair vocabulary that reads ordinary English, trained on the prose of Python's own manual.

The real vocabularies are not at hand offline, and any text will do: what counts is that a prompt of words
becomes about as many tokens as it would be. Tokens beyond the trained ones are fillers that no text yields.
Source: Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

from genesis_stack.capacity.synthetic.shape import Shape

_TRAINED_MERGES = 12000
_MIN_OCCURRENCES = 2

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, the merges in order of rank, and where the control tokens begin."""

    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    first_control: int

    def id_of(self, token: str) -> int:
        """The id of a token; raises ValueError if there is none."""
        return self.tokens.index(token)


def build_vocabulary(shape: Shape) -> Vocabulary:
    """A vocabulary of exactly the shape's size, with its control tokens at their ids."""
    alphabet = _byte_alphabet()
    merges = _train(_words(alphabet))
    special = shape.special
    tokens = list(dict.fromkeys([*alphabet, *(left + right for left, right in merges)]))
    # "Ġ" stands for the space in this alphabet.
    tokens += [f"Ġfiller{index}" for index in range(special.first - len(tokens))]
    tokens += special.names
    tokens += [f"<|reserved_{index}|>" for index in range(shape.vocabulary - len(tokens))]
    return Vocabulary(tuple(tokens), tuple(" ".join(pair) for pair in merges), special.first)


def _byte_alphabet() -> list[str]:
    """One printable character for each byte, as byte-level BPE has it since GPT-2."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    substitutes = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(substitutes)) for byte in range(256)]


def _words(alphabet: list[str]) -> Counter[str]:
    """Words of the manual, with the space before them, in the byte alphabet; and its punctuation."""
    from pydoc_data.topics import topics

    prose = "\n".join(str(topics[name]) for name in sorted(topics))
    pieces = Counter(re.findall(r" ?[A-Za-z]+| ?[^\sA-Za-z0-9]+|\s*\n|\d{1,3}", prose))
    return Counter(
        {
            "".join(alphabet[byte] for byte in piece.encode()): count
            for piece, count in pieces.items()
            if count >= _MIN_OCCURRENCES
        }
    )


class _Trainer:
    """Words as lists of symbols, with the pairs in them counted and located."""

    def __init__(self, words: Counter[str]) -> None:
        self._words = [list(word) for word in words]
        self._counts = list(words.values())
        self._pairs: Counter[Pair] = Counter()
        self._where: defaultdict[Pair, set[int]] = defaultdict(set)
        for index in range(len(self._words)):
            self._count(index, sign=1)
        self._heap = [(-count, pair) for pair, count in self._pairs.items()]
        heapify(self._heap)

    def _count(self, index: int, *, sign: int) -> set[Pair]:
        pairs = list(pairwise(self._words[index]))
        for pair in pairs:
            self._pairs[pair] += sign * self._counts[index]
            self._where[pair].add(index)
        return set(pairs)

    def most_frequent(self) -> Pair | None:
        """The pair that occurs most often; None when no word has two symbols left."""
        while self._heap:
            count, pair = heappop(self._heap)
            if self._pairs[pair] == -count and count < 0:
                return pair
        return None

    def merge(self, pair: Pair) -> None:
        """Make one symbol of the pair wherever it occurs."""
        touched: set[Pair] = set()
        for index in sorted(self._where.pop(pair)):
            touched |= self._count(index, sign=-1)
            self._words[index] = _joined(self._words[index], pair)
            touched |= self._count(index, sign=1)
        for other in touched:
            heappush(self._heap, (-self._pairs[other], other))


def _joined(symbols: list[str], pair: Pair) -> list[str]:
    joined: list[str] = []
    for symbol in symbols:
        if joined and (joined[-1], symbol) == pair:
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return joined


def _train(words: Counter[str]) -> list[Pair]:
    trainer = _Trainer(words)
    merges: list[Pair] = []
    while len(merges) < _TRAINED_MERGES and (pair := trainer.most_frequent()) is not None:
        merges.append(pair)
        trainer.merge(pair)
    return merges
