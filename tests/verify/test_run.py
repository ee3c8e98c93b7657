"""Which host is meant, and what is needed to look at it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from genesis_stack import process
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.modelstore.host import LocalHost
from genesis_stack.process import Completed
from genesis_stack.verify.run import Run, checks_folder, run_checks

HERE = LocalHost(2**30, "a test", 2.0, "a test", "vm", "0123456789abcdef" * 2)
STACK = f"""
api_version: genesis.stack/v1
name: two
models:
  a:
    port: 8000
    weights: {{source: "https://models.example/a.gguf", sha256: "{"0" * 64}"}}
    budget: {{memory: 1GiB, cpus: 1}}
hosts:
  near: {{address: "ssh://root@192.0.2.7"}}
  nameless: {{}}
  here: {{machine_id: {HERE.machine_id}}}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A stack that names its hosts."""
    path = tmp_path / "stack.yaml"
    path.write_text(STACK)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of the pytest that is run, which here ends at once."""
    words: list[str] = []

    def run(argv: Sequence[object], **_: object) -> Completed:
        words.extend(map(str, argv))
        return Completed(tuple(map(str, argv)), 2, "!!! _pytest.outcomes.Exit: gone\n  hint: look !!!", "")

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr("genesis_stack.verify.run.read_host", lambda: HERE)
    monkeypatch.setattr(shutil, "which", lambda name, path: f"{path}/{name}")
    return words


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (None, {"--hosts=local://", "--as-host=here"}),
        ("localhost", {"--hosts=local://", "--as-host=here"}),
        ("docker://box", {"--hosts=docker://box"}),
        ("near", {"--hosts=ssh://root@192.0.2.7", "--as-host=near"}),
    ],
)
def test_the_host_is_found(host: str | None, words: set[str], stack: Path, asked: list[str]) -> None:
    """Here, at an address of testinfra's, or where the stack says; what ends the run is told."""
    with pytest.raises(GenesisError, match="gone") as caught:
        run_checks(Run(stack, host))
    assert caught.value.hint == "look"
    assert words <= set(asked)
    assert any(word.startswith("--as-host") for word in asked) == (host != "docker://box")


@pytest.mark.parametrize("host", ["far", "nameless"])
def test_a_host_without_an_address_is_a_usage_error(host: str, stack: Path, asked: list[str]) -> None:
    """It says how to give one."""
    with pytest.raises(GenesisError) as caught:
        run_checks(Run(stack, host))
    assert caught.value.exit_code is ExitCode.USAGE
    assert "--host ssh://" in str(caught.value.hint)
    assert asked == []


def test_without_testinfra_it_says_what_to_install(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "testinfra" else object())
    with pytest.raises(GenesisError) as caught:
        run_checks(Run(stack))
    assert "genesis-stack[verify]" in str(caught.value.hint)


@pytest.mark.parametrize("scheme", ["ansible", "docker", "podman", "ssh"])
def test_a_way_whose_program_is_missing_says_so(
    scheme: str, stack: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of pytest's story of how it could not be run."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(GenesisError, match=f"{scheme}:// needs ") as caught:
        run_checks(Run(stack, f"{scheme}://box"))
    assert "install" in str(caught.value.hint)
    assert asked == []


def test_the_checks_are_found() -> None:
    """Beside the package in a checkout, in it where it is installed."""
    assert (checks_folder() / "pytest.ini").is_file()
