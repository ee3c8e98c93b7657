"""How long plan and apply take when there is nothing to do, and how plan grows with the number of models.

    python -m benchmarks.reconcile [--runs N] [--json]

Everything is real but systemd itself: a host that is in sync stands below a temporary directory, and the
one door to processes answers what systemctl would say of it (about 10 ms on a real host are thus missing).
Each run is a process of its own, so that imports count. The promises, for two quiet cores: no-op plan of the
reference stack 300 ms, no-op apply 500 ms, plan for 200 models 2 s, growth linear.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
REFERENCE: Final = HERE.parents[1] / "stack.yaml"
SIZES: Final = (25, 50, 100, 200)
MODEL: Final = """\
  model-{index}:
    port: {port}
    description: number {index}
    weights: {{source: "hf://o/r/{index}.gguf", sha256: {index:064x}f, size: 1000}}
    budget: {{memory: 1GiB, cpus: 1}}
"""


def stack_of(models: int) -> str:
    """A stack with this many models."""
    entries = "".join(
        MODEL.format(index=index, port=10_000 + index).replace(f"{index:064x}f", f"{index:063x}f")
        for index in range(models)
    )
    return f"api_version: genesis.stack/v1\nname: many\nmodels:\n{entries}"


def measure(verb: str, stack: Path, root: Path, runs: int) -> float:
    """Median wall time in seconds of a process that does `verb`."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, str(HERE / "in_sync.py"), verb, str(stack), str(root)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gs-bench-") as folder:
        figures = {"interpreter": measure("nothing", REFERENCE, Path(folder), options.runs)}
        root = Path(folder) / "reference"
        measure("install", REFERENCE, root, 1)
        figures["plan, reference stack"] = measure("plan", REFERENCE, root, options.runs)
        figures["apply, reference stack"] = measure("apply", REFERENCE, root, options.runs)
        for models in SIZES:
            stack = Path(folder) / f"{models}.yaml"
            stack.write_text(stack_of(models))
            root = Path(folder) / str(models)
            measure("install", stack, root, 1)
            figures[f"plan, {models} models"] = measure("plan", stack, root, max(3, options.runs // 2))
    small, middle, large = (figures[f"plan, {models} models"] for models in (SIZES[0], SIZES[2], SIZES[3]))
    early = (middle - small) / (SIZES[2] - SIZES[0])
    figures["growth per model, late to early"] = (large - middle) / (SIZES[3] - SIZES[2]) / early
    if options.json:
        print(json.dumps({"schema_version": 1, "seconds": figures}, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:36} {value:8.3f}")


if __name__ == "__main__":
    main()
