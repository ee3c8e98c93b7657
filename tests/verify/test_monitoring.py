"""A watched host, broken where it is watched: exactly the right checks find it, and a test alert arrives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from hosts.fixtures import PYTHON
from hosts.nspawn import Host, boot
from program import GENESIS_STACK
from small_model import DIGEST

from verify.pair import STACK
from verify.sabotages import DRIFT, violated

pytestmark = [pytest.mark.host, pytest.mark.prometheus, pytest.mark.model]
PROGRAMS: Final = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
TEMPLATES: Final = Path("/usr/share/prometheus")
RULES: Final = "/etc/genesis-stack/monitoring/genesis.rules.yml"
ROUTES: Final = "/etc/genesis-stack/monitoring/alertmanager.yml"
RECEIVER: Final = """
import http.server
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/run/told", "ab") as told:
            told.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 9099), Hook).serve_forever()
"""


def stack(weights: Path) -> str:
    """One watched model."""
    return f"""
api_version: genesis.stack/v1
name: watched
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 100ms, deadline: 5m}}}}
models:
  smol:
    port: 8000
    weights: {{source: "file://{weights}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: 2}}
    budget: {{memory: 1GiB, cpus: 1}}
monitoring:
  prometheus: {{scrape_interval: 1s}}
  alertmanager:
    group_wait: 1s
    receivers: {{oncall: {{webhook: {{url: "http://127.0.0.1:9099/"}}}}}}
"""


@pytest.fixture(scope="module")
def watched(host_root: Path, smollm2: Path) -> Iterator[Host]:
    """A host with Debian's Prometheus and Alertmanager, and somebody who is told."""
    programs = [Path(found) for name in PROGRAMS if (found := shutil.which(name))]
    assert len(programs) == len(PROGRAMS), "needs prometheus and prometheus-alertmanager"
    with boot(host_root, read_only=(*PYTHON, *programs, TEMPLATES)) as host:
        host.run(["systemd-run", "--unit=hook", "python3", "-c", RECEIVER])
        host.write(STACK, stack(smollm2))
        host.run([GENESIS_STACK, "apply", STACK], timeout=600)
        yield host


def found(host: Host, *words: str) -> set[str]:
    """What `verify` finds violated."""
    done = host.run([GENESIS_STACK, "verify", STACK, "--json", *words], check=False, timeout=600)
    assert done.returncode in {0, 6}, done.stderr
    return set(violated(json.loads(done.stdout)))


def test_a_test_alert_arrives(watched: Host) -> None:
    """Nothing is violated, and whoever is declared was told, with the word that it is a test."""
    assert found(watched, "--test-alert") == set()
    assert "nothing is wrong" in watched.read("/run/told")


def stop(unit: str) -> Callable[[Host], None]:
    """A monitor that an administrator stopped."""
    return lambda host: host.systemctl("stop", unit) and None


def deleted_rule(host: Host) -> None:
    """Out of the file, and out of the running Prometheus."""
    lines = host.read(RULES).split("\n")
    start = next(at for at, line in enumerate(lines) if "alert: HighErrorRate" in line)
    end = next(at for at in range(start + 1, len(lines)) if lines[at].lstrip().startswith("- "))
    host.write(RULES, "\n".join(lines[:start] + lines[end:]))
    host.systemctl("kill", "--signal=HUP", "genesis-prometheus.service")
    host.wait_for(
        lambda: "HighErrorRate" not in (told := asked(host, ":9090/api/v1/rules")) and told,
        what="the rule is gone",
    )


def other_receiver(host: Host) -> None:
    """Alerts go nowhere."""
    text = host.read(ROUTES)
    host.write(ROUTES, text.replace("receiver: oncall", "receiver: nobody") + "- name: nobody\n")
    host.systemctl("kill", "--signal=HUP", "genesis-alertmanager.service")
    host.wait_for(lambda: "nobody" in asked(host, ":9093/api/v2/status"), what="the other route")


def unseen_exporter(host: Host) -> None:
    """Stopped, and missed."""
    host.systemctl("stop", "genesis-exporter.service")
    await_targets(host, up=1)


def await_targets(host: Host, *, up: int) -> None:
    """Wait until Prometheus sees so many of the two targets up."""
    query = ":9090/api/v1/query?query=sum(up)"
    host.wait_for(lambda: f'"{up}"]' in asked(host, query), what=f"{up} targets up")


def asked(host: Host, where: str) -> str:
    """What a monitor answers; nothing while it does not."""
    ask = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
    return host.run(["python3", "-c", ask, f"http://127.0.0.1{where}"], check=False).stdout


SABOTAGES: Final[Mapping[str, tuple[Callable[[Host], None], set[str]]]] = {
    "stopped Prometheus": (stop("genesis-prometheus.service"), {"monitor_runs", DRIFT}),
    "stopped Alertmanager": (stop("genesis-alertmanager.service"), {"monitor_runs", DRIFT}),
    "stopped exporter": (unseen_exporter, {"monitor_runs", "targets_up", DRIFT}),
    "deleted rule": (deleted_rule, {"rules_loaded", "files_are_as_rendered", DRIFT}),
    "alerts that nobody hears": (other_receiver, {"routes", "files_are_as_rendered", DRIFT}),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_sabotage_is_found_where_it_is(name: str, watched: Host) -> None:
    """Exactly the right checks fail, and an apply heals it."""
    do, expected = SABOTAGES[name]
    do(watched)
    try:
        assert found(watched) == expected
    finally:
        watched.run([GENESIS_STACK, "apply", STACK], timeout=600)
        await_targets(watched, up=2)
