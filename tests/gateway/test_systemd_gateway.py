"""The gateway as a unit on a real systemd: confined, on a low port with a certificate, reloaded, removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from certificates import issue
from hosts.fixtures import PYTHON
from hosts.nspawn import Host, boot
from hosts.verbs import STACK, applied, cli, exposure
from small_model import DIGEST

from genesis_stack.errors import ExitCode
from genesis_stack.layout import Layout

pytestmark = [pytest.mark.host, pytest.mark.model]
UNIT = "genesis-gateway.service"
EXPOSURE = 1.4
"""With a port below 1024; above, it is 1.1."""
GATEWAY = "{port: 443, tls: {certificate_secret: door.crt, key_secret: door.key}, affinity: %s}"
ASK = """
import json, ssl, sys, urllib.request as u
trust = ssl.create_default_context(cafile="/root/door.crt")
body = {"model": "smol", "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 3}
key = open("/root/key").read()
fields = {"content-type": "application/json", "authorization": f"Bearer {key}"}
asked = u.Request("https://127.0.0.1/v1/chat/completions", json.dumps(body).encode(), fields)
print(json.load(u.urlopen(asked, timeout=60, context=trust))["usage"]["completion_tokens"])
"""


def stack(weights: Path, gateway: str) -> str:
    """One model, with or without a gateway."""
    return f"""
api_version: genesis.stack/v1
name: fronted
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 200ms, deadline: 120s}}}}
models:
  smol:
    port: 8000
    weights: {{source: "file://{weights}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: 2}}
    budget: {{memory: 1GiB, cpus: 2}}
clients: {{me: {{models: [smol]}}}}
{f"gateway: {gateway}" if gateway else ""}
"""


@pytest.fixture(scope="module")
def fronted(host_root: Path, tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Host]:
    """A host whose stack has a gateway with a certificate."""
    folder = tmp_path_factory.mktemp("certificate")
    issue(folder, "door.example")
    with boot(host_root, read_only=PYTHON) as host:
        secrets = PurePosixPath(Layout.system().secrets)
        host.write(secrets / "door.crt", (folder / "tls.crt").read_text(), mode=0o600)
        host.write(secrets / "door.key", (folder / "tls.key").read_text(), mode=0o600)
        host.write("/root/door.crt", (folder / "tls.crt").read_text())
        host.write(STACK, stack(smollm2, GATEWAY % "true"))
        issued = cli(host, "clients", "add", "me", "--stack", STACK, "--json")
        host.write("/root/key", json.loads(issued.stdout)["key"])
        done = cli(host, "apply", STACK)
        assert done.returncode == 0, done.stderr
        yield host


def test_it_answers_over_tls_on_a_low_port(fronted: Host) -> None:
    """Its certificate is a credential, its port took one capability; applied twice there is nothing to do."""
    assert fronted.run(["python3", "-c", ASK]).stdout.strip() == "3"
    assert cli(fronted, "plan", STACK, "--exit-code").returncode == ExitCode.OK
    assert fronted.show(UNIT, "ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
    assert cli(fronted, "drift").returncode == 0


def test_it_can_do_what_it_must_and_no_more(fronted: Host) -> None:
    """No root, one capability, an exposure as documented, and neither models nor secrets in sight."""
    main = fronted.show(UNIT, "MainPID")["MainPID"]
    status = dict(
        line.split(":\t") for line in fronted.read(f"/proc/{main}/status").splitlines() if ":\t" in line
    )
    assert status["Uid"].split()[0] != "0"
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 1 << 10  # CAP_NET_BIND_SERVICE
    assert exposure(fronted, UNIT) <= EXPOSURE
    for hidden in ("/var/lib/genesis-stack", "/etc/genesis-stack/secrets"):
        looked = fronted.run(["ls", f"/proc/{main}/root{hidden}"], check=False)
        assert "door.key" not in looked.stdout
        assert "models" not in looked.stdout


def test_a_change_is_reloaded_and_drift_is_healed(fronted: Host, smollm2: Path) -> None:
    """The master process stays; one that was stopped by hand is told, and started again."""
    before = fronted.show(UNIT, "MainPID")
    text = stack(smollm2, GATEWAY % "true").replace("port: 443", "metrics_port: 8406, port: 443")
    assert applied(fronted, text).returncode == 0
    assert fronted.show(UNIT, "MainPID") == before
    assert fronted.run(["python3", "-c", ASK]).stdout.strip() == "3"
    fronted.systemctl("stop", UNIT)
    assert "front.gateway" in cli(fronted, "drift").stdout
    assert cli(fronted, "apply", STACK).returncode == 0
    assert fronted.run(["python3", "-c", ASK]).stdout.strip() == "3"


def test_a_certificate_that_is_none_ends_the_apply_before_anything_is_touched(
    fronted: Host, smollm2: Path
) -> None:
    """HAProxy judges it with the staged configuration, and the gateway goes on as it is."""
    fronted.write(PurePosixPath(Layout.system().secrets) / "bad.crt", "no certificate", mode=0o600)
    done = applied(fronted, stack(smollm2, (GATEWAY % "true").replace("door.crt", "bad.crt")))
    assert done.returncode == 1
    assert "haproxy -c" in done.stderr
    assert fronted.run(["python3", "-c", ASK]).stdout.strip() == "3"


def test_without_a_gateway_in_the_stack_it_is_gone(fronted: Host, smollm2: Path) -> None:
    """Unit, configuration and port."""
    assert applied(fronted, stack(smollm2, "")).returncode == 0
    assert not fronted.exists(f"/etc/systemd/system/{UNIT}")
    assert not fronted.exists("/etc/genesis-stack/gateway/haproxy.cfg")
    assert json.loads(cli(fronted, "status", "--json").stdout)["healthy"]
    assert ":443 " not in fronted.run(["ss", "-ltn"]).stdout
