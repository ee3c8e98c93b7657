"""Numbers of the project itself, as docs/numbers.md tells them.

    python -m benchmarks.numbers [--install] [--tests] [--json]

Lines and import times take seconds. `--install` makes a fresh environment from the lock, some minutes the
first time; `--tests` runs the default tests.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.numbers.imports import import_seconds
from benchmarks.numbers.installation import Installation, fresh_installation
from benchmarks.numbers.lines import ROOT, Package, packages


@dataclass(frozen=True, slots=True)
class Numbers:
    """Seconds and bytes; None for what was not asked for."""

    packages: list[Package]
    import_seconds: dict[str, float]
    installation: Installation | None
    test_seconds: float | None

    def text(self) -> str:
        """As tables of Markdown."""
        lines = [
            "| package | files | lines | median file | longest | median function | longest |",
            "|---|---|---|---|---|---|---|",
        ]
        for one in self.packages:
            sizes = (one.median_file, one.longest_file, one.median_function, one.longest_function)
            cells = (one.name, one.files, f"{one.lines:,}", *sizes)
            lines.append(f"| {' | '.join(map(str, cells))} |")
        lines += ["", "| import | ms |", "|---|---|"]
        lines += [f"| `{name}` | {seconds * 1e3:.0f} |" for name, seconds in self.import_seconds.items()]
        if self.installation is not None:
            total = self.installation.total / 1e6
            lines += [
                "",
                "| installed | MB |",
                "|---|---|",
                f"| all, in {self.installation.seconds:.0f} s | {total:.0f} |",
            ]
            lines += [f"| `{name}` | {size / 1e6:.0f} |" for name, size in self.installation.largest.items()]
        if self.test_seconds is not None:
            lines += ["", f"The default tests: {self.test_seconds:.0f} s."]
        return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install into a fresh environment")
    parser.add_argument("--tests", action="store_true", help="run the default tests and take their time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    numbers = Numbers(
        packages=packages(),
        import_seconds=import_seconds(),
        installation=fresh_installation() if arguments.install else None,
        test_seconds=_test_seconds() if arguments.tests else None,
    )
    print(
        json.dumps({"schema_version": 1, **asdict(numbers)}, indent=2) if arguments.json else numbers.text()
    )


def _test_seconds() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pytest", "-q"], check=True, cwd=ROOT, stdout=sys.stderr)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
