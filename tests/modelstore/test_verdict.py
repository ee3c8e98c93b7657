from __future__ import annotations

from pathlib import Path

import pytest

from genesis_stack.layout import Layout
from genesis_stack.modelstore.host import LocalHost
from genesis_stack.modelstore.verdict import judge
from genesis_stack.spec.load import load

HERE = "a" * 32
STACK = """\
api_version: genesis.stack/v1
name: fleet
models:
  llama:
    port: 8000
    weights:
      source: hf://owner/repo/file.gguf
      sha256: c2f17f44af962660d1ad4cb1af91a731f219f3b326c2b14441f9df1f347f2815
    budget: {memory: 8GiB, cpus: 1}
hosts:
  large: {machine_id: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb}
  small: {machine_id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, overrides: {llama: {budget: {memory: 2GiB}}}}
"""


def machine(memory: int) -> LocalHost:
    """The machine that the stack calls `small`."""
    return LocalHost(memory, "installed", 8, "processors we may use", "elsewhere", HERE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A stack of two hosts, of which we are the second."""
    path = tmp_path / "stack.yaml"
    path.write_text(STACK)
    return path


def test_each_host_is_summed_up_with_its_overrides(path: Path, layout: Layout) -> None:
    """What fits one host need not fit another, and the message says which."""
    verdict = judge(path, load(path), layout, None)
    (problem,) = verdict.problems
    assert "small" in problem.what
    assert (problem.line, problem.path) == (9, "models.llama.budget.memory")


def test_only_the_host_that_we_are_is_held_against_this_machine(path: Path, layout: Layout) -> None:
    """Nobody knows the memory of the others."""
    verdict = judge(path, load(path), layout, machine(1024**3))
    assert verdict.fits["large"].host is None
    small = verdict.fits["small"].host
    assert small is not None
    assert small.needed == 3 * 1024**3
