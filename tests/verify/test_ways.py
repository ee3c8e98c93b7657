"""The other ways to a host: Ansible's inventory, and a container that runs systemd."""

from __future__ import annotations

import resource
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hosts.fixtures import PYTHON
from hosts.nspawn import Host

from genesis_stack.process import run
from verify.pair import Pair, set_up
from verify.sabotages import DRIFT, SABOTAGES, violated

pytestmark = [pytest.mark.host, pytest.mark.model]
LEAST: Final = {
    "digest",
    "no_capabilities",
    "memory_limit",
    "connect_out",
    "no_key",
    "plan_has_nothing_to_do",
}
"""From every part: files, the kernel, limits, the sandbox from inside, the API, genesis-stack itself."""
SABOTAGE: Final = "model that everybody may write"


def held(report: dict[str, Any]) -> set[str]:
    """The checks that hold."""
    return {one["check"] for one in report["findings"] if one["outcome"] == "holds"}


@pytest.mark.parametrize("forced", [False, True], ids=["by its ssh", "by ansible"])
def test_ansibles_inventory_leads_there(
    forced: bool, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Testinfra takes the connection from the inventory, or lets Ansible itself run each command."""
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path))
    monkeypatch.setenv("ANSIBLE_SSH_ARGS", "-o ControlMaster=no")  # none that outlives the host
    config = pair.ssh_config(tmp_path)
    inventory = tmp_path / "inventory.ini"
    inventory.write_text(
        f"[servers]\npair ansible_user=root ansible_ssh_common_args='-F {config}' "
        "ansible_python_interpreter=/usr/bin/python3\n"
    )
    address = f"ansible://pair?ansible_inventory={inventory}&force_ansible={forced}"
    report = pair.verify_at(address, tmp_path)
    assert list(violated(report)) == []
    assert held(report) >= LEAST


@pytest.fixture(scope="module")
def container(host_root: Path, smollm2: Path) -> Iterator[tuple[str, Pair]]:
    """The name of a container that runs systemd and serves two models, and what is in it."""
    if shutil.which("podman") is None or shutil.which("runc") is None:
        pytest.skip("needs podman and runc")
    name = f"genesis-{uuid.uuid4().hex[:8]}"
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 10_000)
    words = (
        *("podman", "--runtime=runc", "run", "--detach", f"--name={name}", "--systemd=always"),
        *("--privileged", "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw"),
        *(f"--ulimit=nofile={files}:{files}", "--ulimit=nproc=5000:5000", "--network=none"),
        *(f"--volume={path}:{path}:ro" for path in PYTHON),
        *("--rootfs", f"{host_root}:O", "sh", "-c", "mount --make-rshared / && exec /sbin/init"),
    )
    begun = run(words, check=False, timeout=240)
    try:
        if begun.returncode != 0:
            pytest.skip(f"podman can run no container that runs systemd here: {begun.stderr}")
        leader = run(["podman", "inspect", "--format={{.State.Pid}}", name]).stdout
        host = Host(int(leader))
        host.wait_for(lambda: host.exists("/run/systemd/private"), what="its systemd")
        host.systemctl("is-system-running", "--wait", check=False)
        yield name, set_up(host, smollm2)
    finally:
        run(["podman", "rm", "--force", "--time=0", name], timeout=240)


@pytest.mark.parametrize("program", ["podman", "docker"])
def test_a_container_is_a_host(program: str, container: tuple[str, Pair], tmp_path: Path) -> None:
    """What is good in it holds, and what is not is found; `docker` may be podman's own."""
    name, pair = container
    if shutil.which(program) is None or run([program, "inspect", name], check=False).returncode != 0:
        pytest.skip(f"{program} does not know podman's containers (package podman-docker)")
    report = pair.verify_at(f"{program}://{name}", tmp_path)
    assert list(violated(report)) == []
    assert held(report) >= LEAST
    SABOTAGES[SABOTAGE].do(pair)
    assert set(violated(pair.verify_at(f"{program}://{name}", tmp_path))) == {"text: owner_and_mode", DRIFT}
    pair.heal()
