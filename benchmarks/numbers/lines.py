"""Lines of source by package, and the longest of everything."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Package:
    """Python below one folder; lines are counted with comments and without empty ones."""

    name: str
    files: int
    lines: int
    median_file: int
    longest_file: int
    median_function: int
    longest_function: int


def packages() -> list[Package]:
    """Each package of genesis_stack, and the folders beside it."""
    own = sorted(path for path in (ROOT / "genesis_stack").iterdir() if (path / "__init__.py").is_file())
    beside = [ROOT / name for name in ("tests", "infra_tests", "loadtests", "benchmarks")]
    whole = _package("genesis_stack, all", ROOT / "genesis_stack")
    return [
        *(_package(path.name, path) for path in own),
        whole,
        *(_package(path.name, path) for path in beside),
    ]


def _package(name: str, folder: Path) -> Package:
    texts = [path.read_text() for path in folder.rglob("*.py")]
    files = [sum(bool(line.strip()) for line in text.splitlines()) for text in texts]
    functions = [length for text in texts for length in _functions(text)] or [0]
    return Package(
        name=name,
        files=len(files),
        lines=sum(files),
        median_file=round(statistics.median(filter(None, files))),
        longest_file=max(files),
        median_function=round(statistics.median(functions)),
        longest_function=max(functions),
    )


def _functions(text: str) -> Iterator[int]:
    """Lines from `def` to the end, of each function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1
