"""What `doctor` reads and says where no whole host is needed to see it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from reconcile.world import World

from genesis_stack.backends import Health
from genesis_stack.doctor.diagnose import diagnose
from genesis_stack.doctor.symptoms import Disk, read_symptoms

MIB = 1024**2


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A host with one model applied."""
    world = World(tmp_path)
    world.apply({"a": "one"})
    return world


def test_a_stack_that_can_no_longer_be_read_keeps_the_doctor_from_nothing(world: World) -> None:
    """As an update of genesis-stack leaves it behind; what ails the host is found all the same."""
    (world.layout.current / "stack.yaml").write_text("setting_of_old: 1\n")
    (world.layout.config / "shared.conf").write_text("edited")
    symptoms = read_symptoms(world.host)
    assert (symptoms.generation, symptoms.stack) == (1, None)
    assert "drift" in [one.cause for one in diagnose(symptoms)]


def test_a_build_for_another_processor_is_replaced_by_the_version_that_is_installed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other could lack what the servers use of it."""
    metadata = tmp_path / "llama_cpp_python-9.8.7.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: 9.8.7\n")
    monkeypatch.syspath_prepend(tmp_path)
    symptoms = read_symptoms(world.host)
    (patient,) = symptoms.patients
    killed = replace(patient, log=["Main process exited, code=killed, status=4/ILL"], health=Health("down"))
    (one,) = [one for one in diagnose(replace(symptoms, patients=[killed])) if one.cause == "wrong CPU build"]
    assert " llama-cpp-python==9.8.7," in one.fix


@pytest.mark.parametrize(("free", "full"), [(200 * MIB, True), (20_000 * MIB, False)])
def test_a_disk_is_full_by_the_room_that_is_left(world: World, free: int, full: bool) -> None:
    """Of its size."""
    symptoms = replace(read_symptoms(world.host), disk=Disk(free=free, size=100_000 * MIB))
    found = [one.evidence for one in diagnose(symptoms) if one.cause == "disk full"]
    assert found == (["200 MiB of 100000 MiB are free"] if full else [])


def test_a_byte_in_the_kernel_s_log_that_is_no_text_is_no_end(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device may print its name in any encoding."""
    dmesg = tmp_path / "dmesg"
    dmesg.write_text("#!/bin/sh\nprintf '[    1.0] usb 1-1: Product: Caf\\351\\n'\n")
    dmesg.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert read_symptoms(world.host).generation == 1
