"""`python -m benchmarks.synthetic SHAPE OUT`: write a model file of that shape."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.synthetic import __doc__ as about
from genesis_stack.capacity.synthetic import SHAPES, write_model


def main() -> None:
    """Write what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.synthetic", description=about)
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("out", type=Path, help="the .gguf file to write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        size = write_model(SHAPES[arguments.shape], arguments.out, seed=arguments.seed)
    except OSError as problem:
        raise SystemExit(
            f"error: {arguments.out}: {problem.strerror}\n  hint: choose another place"
        ) from None
    print(f"{size} bytes in {time.monotonic() - started:.1f} s", file=sys.stderr)
    print(arguments.out)


if __name__ == "__main__":
    main()
