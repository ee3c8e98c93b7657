"""The store's rates and the start-up times of the command line, as a Markdown table on stdout.

    python -m benchmarks.store

Hashing is measured as a ratio of `openssl dgst -sha256` on the same file in the same run, best of several,
the file in the page cache. Start-up times are whole processes, the median of several, on the
reference stack. Paths of GGUF files may follow: how long their headers take to read.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from genesis_stack.modelstore.digest import sha256
from genesis_stack.modelstore.facts import read_facts

SIZE: Final = 1024**3
REPEATS: Final = 5
STARTS: Final = 15
ROOT: Final = Path(__file__).parents[2]


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def hashing(path: Path) -> tuple[float, float]:
    """Best rates in bytes per second: ours and openssl's, taking turns."""
    command = ["openssl", "dgst", "-sha256", str(path)]
    descriptor = os.open(path, os.O_RDONLY)
    ours, theirs = [], []
    for _ in range(REPEATS):
        with contextlib.redirect_stderr(io.StringIO()):
            ours.append(seconds(lambda: sha256(descriptor, path.name)))
        theirs.append(seconds(lambda: subprocess.run(command, check=True, capture_output=True)))
    os.close(descriptor)
    return SIZE / min(ours), SIZE / min(theirs)


def start(*arguments: str) -> float:
    """Median seconds of a whole process."""
    program = Path(sys.executable).with_name("genesis-stack")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "genesis_stack.cli.main"]
    run = [*command, *arguments]
    environment = {**os.environ, "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", tempfile.gettempdir())}

    def once() -> None:
        subprocess.run(run, check=True, cwd=ROOT, capture_output=True, env=environment)

    once()
    return statistics.median(seconds(once) for _ in range(STARTS))


def facts(path: Path) -> float:
    """Median seconds of reading a header, imports not counted."""
    descriptor = os.open(path, os.O_RDONLY)
    read_facts(descriptor, path.name)
    times = [seconds(lambda: read_facts(descriptor, path.name)) for _ in range(REPEATS)]
    os.close(descriptor)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        block = os.urandom(16 * 1024 * 1024)
        for _ in range(SIZE // len(block)):
            file.write(block)
        file.flush()
        ours, theirs = hashing(Path(file.name))
    print("| measured | value | must be |")
    print("|---|---|---|")
    print(f"| SHA-256, ours | {ours / 1e9:.2f} GB/s | |")
    print(f"| SHA-256, `openssl dgst` | {theirs / 1e9:.2f} GB/s | |")
    print(f"| ratio | {ours / theirs:.2f} | ≥ 0.90 |")
    print(f"| `genesis-stack --help` | {1000 * start('--help'):.0f} ms | ≤ 150 ms |")
    print(f"| `genesis-stack validate` | {1000 * start('validate', '--no-host'):.0f} ms | ≤ 250 ms |")
    for path in map(Path, sys.argv[1:]):
        print(f"| facts of {path.name} | {1000 * facts(path):.0f} ms | |")


if __name__ == "__main__":
    main()
