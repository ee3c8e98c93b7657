"""What the agent of a host costs while branch and host stay as they are.

    python -m benchmarks.at_rest --gguf FILE [--looks N] [--json]

A real host (embedded backend, a real model) follows a real repository beside it. Measured is the CPU time of
the program that the timer runs each minute, as its unit calls it, less that of the `git ls-remote` which it
runs; and, for comparison, of the agent itself. The promise: under 1 s of CPU an hour beyond the fetch. What
systemd takes to set up the unit's sandbox is not in it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

from genesis_stack.gitops import rest
from genesis_stack.gitops.record import Files
from genesis_stack.layout import Layout
from genesis_stack.render.agent import UNLESS

LOOKS_AN_HOUR: Final = 60
STACK: Final = """\
api_version: genesis.stack/v1
name: at-rest
defaults: {{rollout: {{min_healthy: 0s}}}}
models:
  m:
    port: {port}
    weights: {{source: "file://{gguf}", sha256: {digest}}}
    engine: {{context: 512, parallel: 1, threads: 1}}
    budget: {{memory: 1GiB, cpus: 1}}
gitops: {{repository: "file://{remote}", verify: "off"}}
"""


def cpu_of(command: list[str], runs: int) -> float:
    """Mean CPU seconds of a command and of what it runs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(runs):
        subprocess.run(command, check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
    return spent / runs


def followed(folder: Path, gguf: Path, port: int) -> list[str]:
    """Make a repository and a host that follows it; the command that every verb begins with."""
    remote, work = folder / "remote.git", folder / "work"
    digest = sha256(gguf.read_bytes()).hexdigest()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q", "--bare", "-b", "main", remote], check=True)
    subprocess.run([*git, "init", "-q", "-b", "main", work], check=True)
    stack = work / "stack.yaml"
    stack.write_text(STACK.format(port=port, gguf=gguf, digest=digest, remote=remote))
    for words in (["add", "-A"], ["commit", "-q", "-m", "begin"], ["push", "-q", str(remote), "HEAD:main"]):
        subprocess.run([*git, "-C", work, *words], check=True)
    genesis = str(Path(sys.prefix) / "bin/genesis-stack")
    host = [f"--root={folder / 'host'}", "--backend=embedded"]
    subprocess.run([genesis, "apply", str(stack), *host], check=True, capture_output=True)
    return [genesis, *host]


def measure(folder: Path, gguf: Path, *, port: int, looks: int) -> dict[str, float]:
    """CPU seconds an hour of 60 looks."""
    genesis, *host = followed(folder, gguf, port)
    agent = [genesis, "agent", "run-once", *host]
    try:
        subprocess.run(agent, check=True, capture_output=True)
        file = Files.of(Layout.under(folder / "host")).rest
        look = [*UNLESS, sys.executable, "-I", "-S", rest.__file__, str(file)]
        if subprocess.run(look, check=False).returncode == 0:
            raise SystemExit("the host is not at rest: the figures would be of something else")
        git = file.read_text().splitlines()[-1].removeprefix("git ").split("\t")
        fetch = cpu_of(git, looks)
        rested, full = cpu_of(look, looks), cpu_of(agent, max(1, looks // 12))
    finally:
        subprocess.run([genesis, "down", *host], check=False, capture_output=True)
    return {
        "fetch": round(fetch * LOOKS_AN_HOUR, 2),
        "at_rest": round((rested - fetch) * LOOKS_AN_HOUR, 2),
        "agent": round((full - fetch) * LOOKS_AN_HOUR, 2),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--looks", type=int, default=60)
    parser.add_argument("--port", type=int, default=18_977)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="at-rest-") as folder:
        found = measure(Path(folder), words.gguf.resolve(), port=words.port, looks=words.looks)
    if words.json:
        print(json.dumps(found))
        return
    print(f"60 looks at rest: {found['at_rest']} s of CPU beyond {found['fetch']} s of git ls-remote")
    print(f"60 runs of the agent itself: {found['agent']} s of CPU beyond the fetch")


if __name__ == "__main__":
    main()
