"""What watches, as units on a real systemd: confined, started, reloaded, and removed with its data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts.fixtures import PYTHON
from hosts.nspawn import Host, boot
from hosts.verbs import STACK, applied, cli, exposure
from small_model import DIGEST

from genesis_stack.errors import ExitCode

pytestmark = [pytest.mark.host, pytest.mark.prometheus, pytest.mark.model]
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
UNITS = ("genesis-prometheus.service", "genesis-alertmanager.service", "genesis-exporter.service")
SECRET = "https://hooks.example.org/T0/a-secret-path"
EXPOSURE = {"genesis-prometheus": 0.9, "genesis-alertmanager": 1.1, "genesis-exporter": 2.2}


def stack(weights: Path, threshold: str = "10s", monitoring: str = "") -> str:
    """One model, watched."""
    return f"""
api_version: genesis.stack/v1
name: watched
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 200ms, deadline: 5m}}}}
models:
  smol:
    port: 8000
    weights: {{source: "file://{weights}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: 2}}
    budget: {{memory: 1GiB, cpus: 2}}
alerts: {{HighLatency: {{threshold: {threshold}}}}}
{monitoring}
"""


MONITORING = """
monitoring:
  prometheus: {scrape_interval: 1s}
  alertmanager: {receivers: {oncall: {slack: {url_secret: hook}}}}
"""


@pytest.fixture(scope="module")
def watched(host_root: Path) -> Iterator[Host]:
    """A booted host that has Debian's binaries."""
    programs = [Path(found) for name in PROGRAMS if (found := shutil.which(name))]
    assert len(programs) == len(PROGRAMS), "needs prometheus and prometheus-alertmanager"
    with boot(host_root, read_only=(*PYTHON, *programs, Path("/usr/share/prometheus"))) as host:
        yield host


def ask(host: Host, url: str) -> str:
    """GET from inside."""
    program = (
        "import sys,urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=60).read().decode())"
    )
    return host.run(["python3", "-c", program, url], check=False).stdout


def state(host: Host, unit: str) -> str:
    """Active, inactive, or on the way."""
    return host.show(unit, "ActiveState")["ActiveState"]


def test_a_missing_secret_ends_the_apply_before_anything_is_touched(watched: Host, smollm2: Path) -> None:
    """It says where to put it."""
    done = applied(watched, stack(smollm2, monitoring=MONITORING))
    assert done.returncode == 1
    assert "/etc/genesis-stack/secrets/hook" in done.stderr
    assert not watched.exists("/etc/systemd/system/genesis-prometheus.service")


def test_all_three_run_confined_and_see_the_server(watched: Host, smollm2: Path) -> None:
    """Applied twice there is nothing to do; every target is up; the secret is in no file of ours."""
    watched.write("/etc/genesis-stack/secrets/hook", SECRET, mode=0o600)
    done = applied(watched, stack(smollm2, monitoring=MONITORING))
    assert done.returncode == 0, done.stderr
    assert cli(watched, "plan", STACK, "--exit-code").returncode == ExitCode.OK
    up = "http://127.0.0.1:9090/api/v1/query?query=sum(up)"
    watched.wait_for(lambda: '"2"' in ask(watched, up), deadline=300, what="both targets up")
    for unit in UNITS:
        assert watched.show(unit, "ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
    found = watched.run(
        ["grep", "-rlF", SECRET, "/etc/systemd", "/etc/genesis-stack/monitoring", "/var/lib"], check=False
    )
    assert found.stdout == ""
    assert "Server is ready" in cli(watched, "logs", "monitor.prometheus").stdout
    assert 'genesis_host_drift{model="smol"} 0.0' in ask(watched, "http://127.0.0.1:9180/metrics")


@pytest.mark.parametrize(("unit", "promised"), EXPOSURE.items())
def test_exposure_is_as_documented(watched: Host, unit: str, promised: float) -> None:
    """On the real manager, not only offline."""
    assert exposure(watched, f"{unit}.service") <= promised


def test_a_changed_limit_is_reloaded_and_drift_is_healed(watched: Host, smollm2: Path) -> None:
    """The process stays for a new rule; one that was stopped by hand is told and started again."""
    before = watched.show(UNITS[0], "MainPID")
    assert applied(watched, stack(smollm2, "7s", MONITORING)).returncode == 0
    assert "> 7" in ask(watched, "http://127.0.0.1:9090/api/v1/rules").replace("\\u003e", ">")
    assert watched.show(UNITS[0], "MainPID") == before
    watched.systemctl("stop", UNITS[1])
    assert "monitor.alertmanager" in cli(watched, "drift").stdout
    assert applied(watched, stack(smollm2, "7s", MONITORING)).returncode == 0
    assert watched.show(UNITS[1], "ActiveState") == {"ActiveState": "active"}


def test_a_strangers_drop_in_is_set_aside_and_the_program_runs_as_it_must(
    watched: Host, smollm2: Path
) -> None:
    """Afterwards there is no drift, and nothing to do."""
    declared = watched.show(UNITS[0], "MemoryMax")
    watched.write(f"/etc/systemd/system/{UNITS[0]}.d/override.conf", "[Service]\nMemoryMax=3G\n")
    watched.systemctl("daemon-reload")
    assert "changed limit" in cli(watched, "drift").stdout
    before = watched.show(UNITS[0], "MainPID")
    done = applied(watched, stack(smollm2, "7s", MONITORING))
    assert done.returncode == 0, done.stderr
    assert watched.show(UNITS[0], "MemoryMax") == declared
    assert watched.show(UNITS[0], "MainPID") != before
    assert cli(watched, "drift").returncode == 0
    assert cli(watched, "plan", STACK, "--exit-code").returncode == ExitCode.OK


def test_down_stops_them_and_they_come_back_with_a_boot(watched: Host, smollm2: Path) -> None:
    """Like the servers: stopped, and still enabled."""
    assert cli(watched, "down").returncode == 0
    for unit in UNITS:
        watched.wait_for(lambda unit=unit: state(watched, unit) == "inactive", deadline=300, what=unit)
        assert watched.show(unit, "UnitFileState") == {"UnitFileState": "enabled"}
    assert applied(watched, stack(smollm2, "7s", MONITORING)).returncode == 0


def test_without_monitoring_they_are_gone_and_destroy_takes_their_data(watched: Host, smollm2: Path) -> None:
    """Units are removed; samples stay until destroy."""
    data = "/var/lib/private/genesis-prometheus"
    assert applied(watched, stack(smollm2)).returncode == 0
    assert not watched.exists("/etc/systemd/system/genesis-prometheus.service")
    assert watched.exists(data)
    assert applied(watched, stack(smollm2, monitoring=MONITORING)).returncode == 0
    assert cli(watched, "destroy", "--yes").returncode == 0
    assert not watched.exists(data)
