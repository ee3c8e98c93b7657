"""Every stack in stacks/ says in comments what its units hold; systemd itself judges all of them.

`# FILE has TEXT`: a line of the rendered file reads TEXT. `# FILE lacks TEXT`: no line is or assigns it.
`# refused: TEXT`: the stack is not rendered, and the message says TEXT.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath

import pytest

from genesis_stack.errors import GenesisError
from genesis_stack.layout import Layout
from genesis_stack.process import run
from genesis_stack.render import INSTALLED, RenderedFile, Runtime, as_declared, systemd
from genesis_stack.render.committed import compare
from genesis_stack.render.sandbox import policy
from genesis_stack.spec.load import load

STACKS = sorted((Path(__file__).parent / "stacks").glob("*.yaml"))
RENDERED = [path for path in STACKS if not path.stem.startswith("refused")]
CONFINED = [path for path in RENDERED if path.stem not in {"directives", "fixed_user"}]
"""Those that do not loosen a profile."""
EXPECTATION = re.compile(r"# (?P<file>\S+) (?P<verb>has|lacks) (?P<text>.+)")
LAYOUT = Layout.system()

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def render(path: Path, runtime: Runtime = INSTALLED) -> tuple[RenderedFile, ...]:
    """What the stack renders to for systemd."""
    stack = load(path)
    return systemd.render(stack, as_declared(stack, LAYOUT), LAYOUT, runtime)


def lines_by_name(files: tuple[RenderedFile, ...]) -> dict[str, list[str]]:
    """The lines of each file, named as `genesis-stack render` places it."""
    differences = compare(Path("/nonexistent"), files, LAYOUT)
    return {str(item.path): (item.rendered or "").splitlines() for item in differences}


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_a_stack_renders_to_what_it_says(path: Path) -> None:
    """The comments of the stack are its expectations."""
    files = lines_by_name(render(path))
    expectations = [found for line in path.read_text().splitlines() if (found := EXPECTATION.fullmatch(line))]
    assert expectations
    for expected in expectations:
        text, lines = expected["text"], files[expected["file"]]
        bare = [line.strip().rstrip(",") for line in lines]
        present = (
            text in bare
            if expected["verb"] == "has"
            else any(line == text or line.startswith(f"{text}=") for line in bare)
        )
        assert present == (expected["verb"] == "has"), expected[0]


@pytest.mark.parametrize("path", sorted(set(STACKS) - set(RENDERED)), ids=lambda path: path.stem)
def test_a_protection_that_always_holds_cannot_be_lifted(path: Path) -> None:
    """The classic directives are refused an exception, with the place in the stack."""
    said = path.read_text().partition("# refused: ")[2].strip()
    with pytest.raises(GenesisError) as refused:
        render(path)
    assert said in str(refused.value)


@needs_systemd
@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_systemd_has_nothing_to_say_about_the_units(path: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` prints nothing: also unknown keys, which it only warns of, would show."""
    program = tmp_path / "bin/genesis-serve"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = []
    for file in render(path, Runtime(PurePosixPath(tmp_path))):
        if file.path.parent == systemd.UNITS:
            units.append(tmp_path / file.path.name)
            units[-1].write_text(file.content)
    said = run(["systemd-analyze", "verify", *units])
    assert said.stdout + said.stderr == ""


@needs_systemd
@pytest.mark.parametrize("path", CONFINED, ids=lambda path: path.stem)
def test_exposure_is_below_what_the_policy_promises(path: Path, tmp_path: Path) -> None:
    """Measured by systemd without starting anything; its --threshold= is ten times the score."""
    stack = load(path)
    for file in render(path):
        if file.path.suffix == ".service":
            unit = tmp_path / file.path.name
            unit.write_text(file.content)
            promised = policy(stack, file.path.name.removesuffix("-server.service")).max_exposure
            threshold = f"--threshold={promised * 10:.0f}"
            run(["systemd-analyze", "security", "--offline=true", "--no-pager", threshold, unit])


def test_rendering_twice_gives_the_same_bytes() -> None:
    """Rendering is pure, so that a second apply has nothing to do."""
    path = STACKS[0].with_name("two_models.yaml")
    assert render(path) == render(path)


def test_a_home_that_holds_python_is_emptied_around_it() -> None:
    """A development install below /home works, and the rest of the home stays out of sight."""
    at_home = Runtime(PurePosixPath("/home/dev/project/.venv"), (PurePosixPath("/home/dev/python"),))
    lines = lines_by_name(render(STACKS[0].with_name("strict.yaml"), at_home))["smol-server.service"]
    assert "ProtectHome=tmpfs" in lines
    assert "ProtectHome=yes" not in lines
    assert "BindReadOnlyPaths=/home/dev/python" in lines


@pytest.mark.parametrize("odd", ['/opt/a"b', "/opt/a:b", "/opt/a\\b", "/opt/a\nb"])
def test_a_path_that_no_list_can_hold_is_refused(odd: str) -> None:
    """Better an error than a unit that means something else."""
    with pytest.raises(GenesisError, match="cannot be written in a unit file"):
        render(STACKS[0].with_name("strict.yaml"), Runtime(PurePosixPath(odd)))
