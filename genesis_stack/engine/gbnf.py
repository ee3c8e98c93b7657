"""How much work a GBNF grammar would be for llama.cpp, measured before llama.cpp sees it.

llama.cpp parses groups by recursion, writes repetitions out, and follows every way the next character could
be matched at once. Nesting, repetitions, empty rules and left recursion can therefore end the process or
never end; its own checks do not find all of that. What is refused here is what it could not bear.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

MAX_CHARS: Final = 65_536
MAX_NESTING: Final = 2_000
"""Groups inside groups; each takes a stack frame."""
MAX_ELEMENTS: Final = 100_000
"""Characters, classes and references once repetitions are written out."""
MAX_CHOICES: Final = 1_024
"""Ways to go on at one place: each costs some 0.1 ms at every token."""
MAX_REPETITIONS: Final = 2_000

_LEXEME: Final = re.compile(
    r"""[ \t\r\n]+ | \#[^\r\n]*
    | (?P<rule>[A-Za-z0-9-]+) [ \t]* ::=
    | (?P<name>[A-Za-z0-9-]+)
    | (?P<empty>"" | \[\^?\])
    | (?P<terminal>"(?:\\.|[^"\\])*" | \[(?:\\.|[^\]\\])*\] | !?<[^>]*> | \.)
    | (?P<repeat>[*+?] | \{[ \t]*(?P<low>[0-9]+)[ \t]*(?P<comma>,[ \t]*(?P<high>[0-9]*)[ \t]*)?\})
    | (?P<mark>[|()])""",
    re.VERBOSE | re.DOTALL,
)

Symbol = str | int
"""A rule by its name, a group by its number."""


class GrammarError(ValueError):
    """The grammar is not valid GBNF, or too much work."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A terminal (`symbol` None) or a reference, `low` to `high` times; `high` None is without end."""

    symbol: Symbol | None
    size: int
    low: int = 1
    high: int | None = 1

    @property
    def elements(self) -> int:
        return self.size * max(1, self.low, self.high or 0)


_Rules = dict[Symbol, list[list[_Item]]]


def check_grammar(gbnf: str) -> None:
    """Refuse what llama.cpp cannot parse, or cannot follow in bounded time.

    Raises:
        GrammarError: it says what is wrong.
    """
    if len(gbnf) > MAX_CHARS or "\0" in gbnf:
        raise GrammarError(f"it must be at most {MAX_CHARS} characters, without NUL")
    rules = _Parser().parse(gbnf)
    items = [item for rule in rules.values() for alternate in rule for item in alternate]
    for item in items:
        if item.symbol is not None and item.symbol not in rules:
            raise GrammarError(f"the rule {str(item.symbol)[:50]} is not defined")
    if "root" not in rules:
        raise GrammarError("there is no rule named root")
    if sum(item.elements for item in items) > MAX_ELEMENTS:
        raise GrammarError(f"its repetitions amount to more than {MAX_ELEMENTS} elements")
    if _ways(rules) > MAX_CHOICES:
        raise GrammarError(f"there are more than {MAX_CHOICES} ways to go on at one place")


class _Parser:
    """Turns the text into rules whose groups are rules too; without recursion, however deep they are."""

    def __init__(self) -> None:
        self._rules: _Rules = {}
        self._open: list[Symbol] = []  # the rule that is being read, and the groups open in it
        self._repeatable = False

    def parse(self, gbnf: str) -> _Rules:
        at = 0
        while at < len(gbnf):
            lexeme = _LEXEME.match(gbnf, at)
            if lexeme is None:
                raise GrammarError(f"`{gbnf[at : at + 20]}` is not GBNF")
            at = lexeme.end()
            if lexeme.lastgroup:
                self._take(lexeme)
        if len(self._open) != 1:
            raise GrammarError("a parenthesis is not closed, or there is no rule")
        return self._rules

    def _take(self, lexeme: re.Match[str]) -> None:
        text = lexeme.group()
        if rule := lexeme["rule"]:
            if len(self._open) > 1:
                raise GrammarError(f"a parenthesis is not closed before the rule {rule[:50]}")
            self._open = []
            self._begin(rule)
        elif not self._open:
            raise GrammarError("it does not begin with a rule")
        elif lexeme["repeat"]:
            self._repeat(lexeme)
        elif lexeme["mark"]:
            self._mark(text)
        elif lexeme["empty"]:
            self._repeatable = False
        elif name := lexeme["name"]:
            self._add(_Item(name, 1))
        else:
            self._add(_Item(None, len(text)))

    def _begin(self, symbol: Symbol) -> None:
        if len(self._open) > MAX_NESTING:
            raise GrammarError(f"it is nested more than {MAX_NESTING} levels deep")
        self._open.append(symbol)
        self._rules[symbol] = [[]]
        self._repeatable = False

    def _mark(self, mark: str) -> None:
        match mark:
            case "(":
                self._begin(len(self._rules))
            case "|":
                self._rules[self._open[-1]].append([])
                self._repeatable = False
            case _:
                if len(self._open) == 1:
                    raise GrammarError("a parenthesis is closed that was not opened")
                self._add(_Item(self._open.pop(), 1))

    def _add(self, item: _Item) -> None:
        self._rules[self._open[-1]][-1].append(item)
        self._repeatable = True

    def _repeat(self, lexeme: re.Match[str]) -> None:
        if not self._repeatable:
            raise GrammarError("a repetition has nothing to repeat")
        low, high = _bounds(lexeme)
        alternate = self._rules[self._open[-1]][-1]
        item = alternate[-1]
        if (item.low, item.high) != (1, 1):
            inner = len(self._rules)
            self._rules[inner] = [[item]]
            item = _Item(inner, item.elements)
        alternate[-1] = replace(item, low=low, high=high)


def _bounds(repeat: re.Match[str]) -> tuple[int, int | None]:
    match repeat["repeat"]:
        case "*":
            return 0, None
        case "+":
            return 1, None
        case "?":
            return 0, 1
    if max(len(repeat["low"]), len(repeat["high"] or "")) > len(str(MAX_REPETITIONS)):
        raise GrammarError(f"something is repeated more than {MAX_REPETITIONS} times")
    low = int(repeat["low"])
    high = low if repeat["comma"] is None else int(repeat["high"]) if repeat["high"] else None
    if max(low, high or 0) > MAX_REPETITIONS:
        raise GrammarError(f"something is repeated more than {MAX_REPETITIONS} times")
    if high is not None and high < low:
        raise GrammarError(f"`{repeat['repeat']}` asks for fewer at most than at least")
    return low, high


def _ways(rules: _Rules) -> int:
    """The most ways to go on at one place, behind optional ends of rules in rules too.

    Raises GrammarError for left recursion.
    """
    nullable = _nullable(rules)
    begins: dict[Symbol | None, int] = {None: 1}
    for symbol in _leftmost_first(rules, nullable):
        begins[symbol] = sum(_ways_before(alternate, begins, nullable)[0] for alternate in rules[symbol])
    most = max(begins.values())
    uses: defaultdict[Symbol, list[_Use]] = defaultdict(list)
    for symbol, rule in rules.items():
        for alternate in rule:
            ways = _ways_before(alternate, begins, nullable)
            most = max(most, *ways)
            for item, use in _uses(symbol, alternate, ways, nullable):
                again = 0 if item.high == 1 else begins[item.symbol]
                if item.symbol is not None:
                    uses[item.symbol].append(replace(use, ways=use.ways + again))
    return max(most, *_ways_behind(uses).values(), 0)


def _ways_before(items: list[_Item], begins: Mapping[Symbol | None, int], nullable: set[Symbol]) -> list[int]:
    """Ways to go on before each of `items`, and one behind them: to leave."""
    ways = [1]
    for item in reversed(items):
        empty = item.symbol in nullable
        copies = 1
        if empty:
            copies = item.low + 1 if item.high is None else max(1, item.high)
        behind = ways[-1] if empty or item.low == 0 else 0
        ways.append(copies * begins.get(item.symbol, 1) + behind)
    return ways[::-1]


@dataclass(frozen=True, slots=True)
class _Use:
    """A place that refers to a rule: the ways to go on behind it, and which rule may be at its end there."""

    ends: Symbol | None
    ways: int


def _uses(
    owner: Symbol, items: list[_Item], ways: list[int], nullable: set[Symbol]
) -> Iterator[tuple[_Item, _Use]]:
    """Each item with what may come behind it in its alternate, last first."""
    ends: Symbol | None = owner
    for item, behind in zip(reversed(items), reversed(ways[1:]), strict=True):
        yield item, _Use(ends, behind if ends is None else behind - 1)
        if item.low > 0 and item.symbol not in nullable:
            ends = None


def _ways_behind(uses: defaultdict[Symbol, list[_Use]]) -> dict[Symbol, int]:
    """The most ways to go on behind each rule; what refers to itself at its end is followed once."""
    behind: dict[Symbol, int] = {}
    for start in list(uses):
        todo = [] if start in behind else [start]
        while todo:
            symbol = todo[-1]
            if symbol not in behind:
                behind[symbol] = 0
                todo += [use.ends for use in uses[symbol] if use.ends is not None and use.ends not in behind]
            else:
                todo.pop()
                ways = (use.ways + (behind[use.ends] if use.ends is not None else 0) for use in uses[symbol])
                behind[symbol] = max(behind[symbol], *ways, 0)
    return behind


def _nullable(rules: _Rules) -> set[Symbol]:
    """Rules that match the empty string."""
    missing: list[int] = []  # for each alternate, its items that are not known to match the empty string
    owners: list[Symbol] = []
    users: defaultdict[Symbol | None, list[int]] = defaultdict(list)
    for symbol, alternates in rules.items():
        for alternate in alternates:
            needed = [item.symbol for item in alternate if item.low > 0]
            for name in needed:
                users[name].append(len(owners))
            owners.append(symbol)
            missing.append(len(needed))
    ready = [owner for owner, count in zip(owners, missing, strict=True) if count == 0]
    found: set[Symbol] = set()
    while ready:
        symbol = ready.pop()
        if symbol in found:
            continue
        found.add(symbol)
        for user in users[symbol]:
            missing[user] -= 1
            if missing[user] == 0:
                ready.append(owners[user])
    return found


def _leftmost_first(rules: _Rules, nullable: set[Symbol]) -> Iterator[Symbol]:
    """Rules in an order in which each comes after those it may begin with."""
    begins = {symbol: set(_beginnings(rule, nullable)) for symbol, rule in rules.items()}
    users: defaultdict[Symbol, list[Symbol]] = defaultdict(list)
    for symbol, others in begins.items():
        for other in others:
            users[other].append(symbol)
    open_counts = {symbol: len(others) for symbol, others in begins.items()}
    ready = [symbol for symbol, count in open_counts.items() if count == 0]
    done = 0
    while ready:
        symbol = ready.pop()
        done += 1
        yield symbol
        for user in users[symbol]:
            open_counts[user] -= 1
            if open_counts[user] == 0:
                ready.append(user)
    if done < len(rules):
        raise GrammarError("a rule begins with itself (left recursion)")


def _beginnings(rule: list[list[_Item]], nullable: set[Symbol]) -> Iterator[Symbol]:
    for alternate in rule:
        for item in alternate:
            if item.symbol is not None:
                yield item.symbol
            if item.low > 0 and item.symbol not in nullable:
                break
