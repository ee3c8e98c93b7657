"""What an engineer's tools are told: hooks before a commit, a container, a release."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from hosts.debian_root import SUITE
from packaging.specifiers import SpecifierSet

from docs.pages import ROOT
from genesis_stack import __version__

GIT = shutil.which("git") or "git"
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_version_is_told_once() -> None:
    """By the package and by its metadata alike."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__


def test_the_changelog_has_its_shape() -> None:
    """Unreleased first, then versions with their dates, each in the five usual parts."""
    first, *released = re.findall(r"^## (.+)$", CHANGES, re.MULTILINE)
    assert first == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+, \d{4}-\d{2}-\d{2}", one) for one in released)
    parts = set(re.findall(r"^### (.+)$", CHANGES, re.MULTILINE))
    assert parts <= {"Added", "Changed", "Fixed", "Removed", "Security"}


def test_the_hooks_run_what_lint_runs() -> None:
    """From the project's own environment: a hook that is fetched is another version."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = {hook["entry"].partition(" --force-exclude")[0] for hook in config["repos"][0]["hooks"]}
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    lint = {line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()[1:]}
    assert {hook.removesuffix(" --check") for hook in hooks} == {
        line.removesuffix(" --check") for line in lint
    }


def test_the_container_can_build_what_is_needed() -> None:
    """It is the Debian of test hosts, with what `make up` and `make test` ask for, and starts up."""
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    recipe = (ROOT / ".devcontainer" / container["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert f"\nFROM debian:{SUITE}\n" in recipe
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    asked = re.findall(r"\(Debian: apt install ([^)]*)\)", makefile)
    asked += re.findall(r'as root: apt install ([^"]*)"', makefile.partition("\ntest-tools:")[2])[:1]
    assert len(asked) > 1
    assert {package for words in asked for package in words.split()} <= set(recipe.split())
    assert container["postCreateCommand"] == "make up"


def test_what_is_locked_installs_with_debians_python() -> None:
    """Debian 12 has 3.11.2, which is not every 3.11; the recipe of the lock names it."""
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    oldest = re.search(r"^LOCKED_FOR := (\S+)$", recipe, re.MULTILINE)
    assert oldest is not None
    locked = re.findall(
        r"^([a-z0-9-]+)(?:\[.*\])?==", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE
    )
    wanted = {name: metadata.metadata(name).get("Requires-Python") or "" for name in locked}
    assert {name: said for name, said in wanted.items() if not SpecifierSet(said).contains(oldest[1])} == {}


def test_every_room_has_its_place_in_the_contracts_of_imports() -> None:
    """In one of the two columns; neither column nor the client may reach into what is not theirs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {one["name"]: one for one in project["tool"]["importlinter"]["contracts"]}
    operators, serving = (
        {
            room
            for layer in contracts[f"The {side} side points down its own column"]["layers"]
            for room in layer.split(" | ")
        }
        - {"genesis_stack.protocol"}
        for side in ("operator's", "serving")
    )
    client = {"genesis_stack.client"}
    packages = {
        f"genesis_stack.{path.parent.name}" for path in (ROOT / "genesis_stack").glob("*/__init__.py")
    }
    assert operators | serving | client | {"genesis_stack.protocol"} == packages
    kept_out = {
        "The serving side knows nothing of the operator's": operators | client,
        "The operator's side knows nothing of the serving one": serving,
        "The client stands alone": operators - {"genesis_stack.spec"} | serving,
    }
    for name, rooms in kept_out.items():
        assert rooms - set(contracts[name]["forbidden_modules"]) == set(), name
    assert (
        set(contracts["The operator's side knows nothing of the serving one"]["source_modules"]) == operators
    )


LONGEST_FILE = 400
LONGEST_FUNCTION = 50


@pytest.mark.parametrize("folder", ["genesis_stack", "tests", "benchmarks"])
def test_no_file_and_no_function_is_longer_than_what_can_be_read_at_once(folder: str) -> None:
    """The bounds that the page on contributing names."""
    page = (ROOT / "docs/contributing.md").read_text(encoding="utf-8")
    assert f"at most {LONGEST_FILE} lines" in page
    assert f"at most {LONGEST_FUNCTION}" in page
    long = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > LONGEST_FILE:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}: {lines} lines")
    assert long == []


PACKED = ("genesis_stack", "infra_tests", "loadtests", ".ci", ".gitignore", "pyproject.toml", "stack.yaml")
TOLD = ("CHANGELOG.md", "LICENSE", "README.md")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of its own, with what a release is made of."""
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in (*PACKED, *TOLD):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, copy / name)
    git(copy, "init", "-q")
    commit(copy)
    return copy


def git(tree: Path, *words: str) -> None:
    """Run git as somebody."""
    who = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
    subprocess.run([GIT, *who, *words], cwd=tree, check=True, capture_output=True)


def commit(tree: Path) -> None:
    """Commit everything."""
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "all of it", "--allow-empty")


def release(tree: Path) -> subprocess.CompletedProcess[str]:
    """What `make release` runs."""
    environment = os.environ | {"PYTHON": sys.executable}
    return subprocess.run(
        [tree / ".ci/release"], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def with_section(tree: Path) -> None:
    """Give what is unreleased the version's number."""
    changed = CHANGES.replace("## Unreleased\n", f"## Unreleased\n\n## {__version__}, 2030-01-01\n", 1)
    (tree / "CHANGELOG.md").write_text(changed, encoding="utf-8")


def test_a_release_is_built_with_its_notes(tree: Path) -> None:
    """Both distributions with all data that the package needs, and a message for the tag."""
    with_section(tree)
    commit(tree)
    done = release(tree)
    assert done.returncode == 0, done.stderr
    assert f"git tag -a v{__version__}" in done.stdout
    notes = (tree / "dist/NOTES.md").read_text(encoding="utf-8")
    assert notes.startswith(f"genesis-stack {__version__}, 2030-01-01\n")
    assert "### Added" in notes
    (wheel,) = (tree / "dist").glob("*.whl")
    (sdist,) = (tree / "dist").glob("*.tar.gz")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {"genesis_stack/infra_tests/conftest.py", "genesis_stack/dashboard/page/index.html"} <= packed
    with tarfile.open(sdist) as archive:
        assert f"genesis_stack-{__version__}/stack.yaml" in archive.getnames()


def test_a_release_without_its_section_is_refused(tree: Path) -> None:
    """So is one of a tree with changes; nothing is built."""
    missing = release(tree)
    assert missing.returncode == 1
    assert "CHANGELOG.md has no section" in missing.stderr
    with_section(tree)
    dirty = release(tree)
    assert dirty.returncode == 1
    assert "not committed" in dirty.stderr
    assert not (tree / "dist").exists()
