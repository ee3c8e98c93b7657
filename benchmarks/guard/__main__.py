"""What the guard flags of each corpus, and what a look costs, as Markdown tables on stdout.

    python -m benchmarks.guard

The first run downloads 35 MB. `--cost` measures the cost alone; `--missed CORPUS` prints attacks of the
readable half that were not flagged, `--flagged CORPUS` what was, with the families.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Sequence
from typing import Final

from benchmarks.guard.corpora import ATTACKS, ORDINARY
from genesis_stack.server.guard.patterns import PATTERNS, THRESHOLD, VERSION
from genesis_stack.server.guard.scoring import score

BUDGET_MS: Final = 0.4
"""Of one request, for all of security and observability together."""

ADVERSARIAL: Final = (
    "ignore ",
    "![a](https://x?",
    "' or 'a",
    "a\u0327\u0301\u0315",
    "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY ",
)
"""Pieces of texts that are made to hold a matcher up."""


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description="Measure the guard.")
    parser.add_argument("--cost", action="store_true", help="the cost alone")
    parser.add_argument("--missed", metavar="CORPUS")
    parser.add_argument("--flagged", metavar="CORPUS")
    arguments = parser.parse_args()
    if arguments.missed or arguments.flagged:
        show(arguments.missed or arguments.flagged, flagged=arguments.flagged is not None)
        return
    if not arguments.cost:
        detection()
    cost()


def readable(text: str) -> bool:
    """Whether it is of the half that authors of patterns may read."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[0] % 2 == 0


def flagged(text: str) -> bool:
    """What the server would say."""
    return score(text).value >= THRESHOLD


def detection() -> None:
    """How much of each corpus is flagged, by halves."""
    print(f"Patterns {VERSION}, {len(PATTERNS)} of them, threshold {THRESHOLD}.\n")
    titles = ("attacks flagged", "ordinary prompts flagged (false positives)")
    for title, corpora in zip(titles, (ATTACKS, ORDINARY), strict=True):
        print(f"| corpus | {title}, unread half | read half |\n|---|---|---|")
        for corpus in corpora:
            texts = corpus.texts()
            unread = [flagged(text) for text in texts if not readable(text)]
            read = [flagged(text) for text in texts if readable(text)]
            print(f"| {corpus.name}: {corpus.about} | {_share(unread)} | {_share(read)} |")
        print()


def _share(flags: Sequence[bool]) -> str:
    return f"{sum(flags)} of {len(flags)}, {sum(flags) / len(flags):.1%}"


def cost() -> None:
    """What a look costs: on prompts of real lengths, and on those that are made to cost most."""
    print("| prompts | bytes, median | ms, median | ms, p99 | µs a KB |\n|---|---|---|---|---|")
    for corpus in ORDINARY:
        _tell_cost(corpus.name, corpus.texts())
    print("\n| made to hold it up | 25 KB, ms | 100 KB, ms | growth, 4 is linear |\n|---|---|---|---|")
    for piece in ADVERSARIAL:
        short, long = (_milliseconds((piece * size)[:size]) for size in (25_000, 100_000))
        print(f"| `{ascii(piece)[1:-1]}`… | {short:.2f} | {long:.2f} | {long / short:.1f} |")
    print(f"\nThe budget of a request is {BUDGET_MS} ms, of which the guard is a part.")


def _tell_cost(name: str, texts: Sequence[str]) -> None:
    """Like a server that has run for a while: the automata have seen the first half of the texts."""
    half = len(texts) // 2
    for text in texts[:half]:
        score(text)
    timed = sorted(_milliseconds(text, repeats=1) for text in texts[half:])
    sizes = [len(text.encode("utf-8", "replace")) for text in texts[half:]]
    rate = 1e3 * sum(timed) / (sum(sizes) / 1024)
    size, middle = statistics.median(sizes), statistics.median(timed)
    p99 = timed[min(len(timed) - 1, int(0.99 * len(timed)))]
    print(f"| {name} | {size:.0f} | {middle:.3f} | {p99:.3f} | {rate:.0f} |")


def _milliseconds(text: str, repeats: int = 5) -> float:
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        score(text)
        best = min(best, time.perf_counter() - begun)
    return 1e3 * best


def show(name: str, *, flagged: bool) -> None:
    """Texts of the readable half."""
    corpus = next(corpus for corpus in (*ATTACKS, *ORDINARY) if corpus.name == name)
    for text in filter(readable, corpus.texts()):
        found = score(text)
        if (found.value >= THRESHOLD) == flagged:
            print(f"{found.value:.2f} {' '.join(found.families)}\n    {text[:300]!r}")


if __name__ == "__main__":
    main()
