"""HTTPS under systemd: the certificate is a credential, and renewing it refuses nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

import pytest
from certificates import issue
from small_model import DIGEST, SOURCE

from genesis_stack.layout import Layout
from genesis_stack.spec.load import loads
from hosts.nspawn import Host
from hosts.verbs import install_units

pytestmark = [pytest.mark.host, pytest.mark.model]

PORT = 8443
STACK = loads(
    f"""
api_version: genesis.stack/v1
name: tls
http: {{tls: {{certificate_secret: tls.crt, key_secret: tls.key}}}}
models:
  smol:
    port: {PORT}
    weights: {{source: "{SOURCE}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: 4}}
    budget: {{memory: 1GiB, cpus: 2}}
"""
)
LOAD = Path(__file__).with_name("load_client.py")
UNIT = "smol-server.service"
CERTIFICATE = f"import ssl; print(ssl.get_server_certificate(('127.0.0.1', {PORT}), timeout=600))"


@pytest.fixture
def serving(
    boot_host: Callable[[], AbstractContextManager[Host]], smollm2: Path, tmp_path: Path
) -> Iterator[Host]:
    """A host with the units and the secrets, and a server that runs."""
    with boot_host() as host:
        install_certificate(host, tmp_path, "first.example")
        install_units(host, STACK, smollm2)
        host.systemctl("start", "smol-server.socket")
        host.systemctl("start", UNIT)
        yield host


def install_certificate(host: Host, directory: Path, name: str) -> str:
    """Where the unit's LoadCredential= looks; returns the certificate."""
    issue(directory, name)
    for secret in ("tls.crt", "tls.key"):
        path = PurePosixPath(Layout.system().secrets / secret)
        host.write(path, (directory / secret).read_text(), mode=0o600)
    return (directory / "tls.crt").read_text().strip()


def test_renewal_refuses_no_connection(serving: Host, tmp_path: Path) -> None:
    """After a restart under load the new certificate is shown, and everybody was let in."""
    load = serving.start(["python3", LOAD, PORT, "smol", 4, "tls"])
    renewed = install_certificate(serving, tmp_path, "second.example")
    shown = serving.run(["python3", "-c", CERTIFICATE]).stdout.strip()
    assert shown != renewed
    serving.systemctl("restart", UNIT)
    assert serving.run(["python3", "-c", CERTIFICATE]).stdout.strip() == renewed
    counted = json.loads(load.communicate("\n", timeout=600)[0])
    assert counted["answered"] > 0
    assert "refused" not in counted
    assert counted.get("broken", 0) <= 4
