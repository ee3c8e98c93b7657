"""How long a full verification over SSH takes, and whether a good host ever raises an alarm, as Markdown.

    python -m benchmarks.verify --runs 20

Boots a host with two served models, as the reference stack has, and verifies it from this machine through a
real ssh, again and again. Needs root and what `make host-tools` installs. The models are small: hashing
larger ones adds their bytes over the rate of sha256sum.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[2] / "tests"
LIMIT_SECONDS: Final = 30.0
"""What a full verification of two models over SSH may take."""


def main() -> None:
    """Verify and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    sys.path.insert(0, str(TESTS))
    from conftest import CACHE, MEMBER
    from hosts.debian_root import debian_root
    from hosts.fixtures import PYTHON
    from hosts.nspawn import boot
    from verify.pair import set_up
    from verify.sabotages import violated

    weights = CACHE / "models" / Path(MEMBER).name
    with boot(debian_root(), read_only=PYTHON) as host, tempfile.TemporaryDirectory() as folder:
        pair = set_up(host, weights)
        config = pair.ssh_config(Path(folder))
        seconds, alarms, checks = [], [], 0
        for _ in range(runs):
            start = time.perf_counter()
            report = pair.verify_over_ssh(config)
            seconds.append(time.perf_counter() - start)
            alarms += list(violated(report))
            checks = report["counts"]["holds"]
    print("| runs | checks that hold | seconds p50 | seconds max | of the limit | alarms |")
    print("|---|---|---|---|---|---|")
    share = max(seconds) / LIMIT_SECONDS
    print(
        f"| {runs} | {checks} | {statistics.median(seconds):.1f} | {max(seconds):.1f} | {share:.0%} "
        f"| {len(alarms)} |"
    )
    for alarm in alarms:
        print(f"\nalarm: {alarm}")


if __name__ == "__main__":
    main()
