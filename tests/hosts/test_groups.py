"""Two confined servers that share the memory of one, on a real systemd."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from small_model import DIGEST, SOURCE

from genesis_stack.spec.load import loads
from hosts.nspawn import Host
from hosts.verbs import install_units

pytestmark = [pytest.mark.host, pytest.mark.model]

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
    with boot_host() as host:
        install_units(host, STACK, smollm2)
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
