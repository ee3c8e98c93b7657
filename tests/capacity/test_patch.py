"""Tuned settings as a patch that tools take and that keeps what people wrote."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from genesis_stack.capacity.patch import patch
from genesis_stack.capacity.tuning import Change
from genesis_stack.spec.load import load

DIGEST = "0" * 64
HEAD = f"""# who reads this?
api_version: genesis.stack/v1
name: bench  # stays
models:
  other:
    {{port: 8001, weights: {{source: "file:///o", sha256: "{DIGEST}"}}, budget: {{memory: 1GiB, cpus: 4}}}}
"""
REST = f"""    weights: {{source: "file:///w", sha256: "{DIGEST}"}}
    budget: # the most it may use
      memory: 1GiB
      cpus: 4
"""
BLOCK = f"""{HEAD}  small:
    port: 8000
    engine:
      # requests at the same time
      parallel: 4   # why four?
      context: 2048 # tokens of one request

    # and its files
{REST}"""
FLOW = f"""{HEAD}  small:
    port: 8000 # the first one
    engine: {{context: 2048, parallel: 4}} # as it was
{REST}"""
EMPTY = f"""{HEAD}  small:
    engine: {{}}
    port: 8000
{REST}"""
ABSENT = f"""{HEAD}  small:
    port: 8000 # the first one
{REST}"""
ALL_FLOW = (
    f'{HEAD}  small: {{port: 8000, weights: {{source: "file:///w", sha256: "{DIGEST}"}},'
    " budget: {memory: 1GiB, cpus: 4}}\n"
)
CHANGES = (Change("threads", 4, 2), Change("kv_cache", "f16", "q8_0"), Change("parallel", 4, 8))

WAYS = [
    ["git", "apply", "tuned.patch"],
    ["patch", "-p1", "-i", "tuned.patch"],
]


def comments(text: str) -> list[str]:
    """Every comment, in order."""
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("way", [way for way in WAYS if shutil.which(way[0])], ids=lambda way: way[0])
@pytest.mark.parametrize("end", ["\n", ""], ids=["ended", "open"])
@pytest.mark.parametrize(
    "text", [BLOCK, FLOW, EMPTY, ABSENT, ALL_FLOW], ids=["block", "flow", "empty", "absent", "all-flow"]
)
def test_a_patch_changes_the_settings_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, end: str, way: list[str]
) -> None:
    """Applied by the usual tools, the stack is valid, has the new settings, and every comment."""
    monkeypatch.chdir(tmp_path)
    file = Path("stack.yaml")
    file.write_text(text.rstrip("\n") + end)
    before = load(file)
    Path("tuned.patch").write_text(patch(file, before, "small", CHANGES))
    subprocess.run(way, check=True, capture_output=True)
    after = load(file)
    wanted = before.models["small"].engine.model_copy(
        update={"threads": 2, "kv_cache": "q8_0", "parallel": 8}
    )
    assert after.models["small"].engine == wanted
    assert after.models["other"] == before.models["other"]
    assert comments(file.read_text()) == comments(text)
    lost = set(text.splitlines()) - set(file.read_text().splitlines())
    assert all(any(mark in line for mark in ("parallel: 4", "engine: {}", "small: {")) for line in lost)
    assert file.read_text().endswith("\n") == bool(end)


def test_without_a_change_there_is_no_patch(tmp_path: Path) -> None:
    """Nothing at all, so that a script sees it."""
    file = tmp_path / "stack.yaml"
    file.write_text(BLOCK)
    assert patch(file, load(file), "small", ()) == ""
