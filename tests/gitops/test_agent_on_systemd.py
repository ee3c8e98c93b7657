"""The timer and the confined agent on a real systemd, with the real model: from a push to what serves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hosts.nspawn import Host
from program import GENESIS_STACK
from small_model import DIGEST

pytestmark = [pytest.mark.host, pytest.mark.model]
WORK = "/root/work"
STACK = """
api_version: genesis.stack/v1
name: followed
defaults: {{rollout: {{min_healthy: 0s}}}}
models:
  smol:
    description: {description}
    port: 8000
    weights: {{source: "file://{weights}", sha256: {digest}}}
    engine: {{context: 512, parallel: 1, threads: 1}}
    budget: {{memory: 1GiB, cpus: 1}}
gitops: {{repository: "file:///srv/stack.git", interval: 10s}}
"""


@pytest.fixture(scope="module")
def host(boot_host: Callable[[], AbstractContextManager[Host]], smollm2: Path) -> Iterator[Host]:
    """A host on which an operator has applied the first revision of a repository."""
    with boot_host() as host:
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/signer"])
        public = host.read("/root/.ssh/signer.pub").strip()
        host.write("/etc/genesis-stack/allowed_signers", f"ops@example.org {public}\n")
        for setting in ("gpg.format=ssh", "user.signingKey=/root/.ssh/signer", "user.name=Ops"):
            host.run(["git", "config", "--global", *setting.split("=")])
        host.run(["git", "config", "--global", "user.email", "ops@example.org"])
        host.run(["git", "init", "-q", "--bare", "-b", "main", "/srv/stack.git"])
        host.run(["git", "clone", "-q", "/srv/stack.git", WORK])
        commit(host, text(smollm2, "one"))
        host.run([GENESIS_STACK, "apply", f"{WORK}/stack.yaml"], timeout=300)
        yield host


def text(weights: Path, description: str) -> str:
    """The stack."""
    return STACK.format(description=description, weights=weights, digest=DIGEST)


def commit(host: Host, content: str, *, sign: bool = True) -> str:
    """Commit a stack to the followed branch and push it; returns the revision."""
    host.write(f"{WORK}/stack.yaml", content)
    host.run(["git", "-C", WORK, "add", "-A"])
    host.run(["git", "-C", WORK, "commit", "-q", "-m", "a change", *(["-S"] if sign else [])])
    host.run(["git", "-C", WORK, "push", "-q", "origin", "HEAD:main"])
    return host.run(["git", "-C", WORK, "rev-parse", "HEAD"]).stdout.strip()


def record(host: Host) -> dict[str, Any]:
    """What the agent says of itself."""
    found: dict[str, Any] = json.loads(host.run([GENESIS_STACK, "agent", "status", "--json"]).stdout)
    return found


def wait_until_applied(host: Host, revision: str) -> None:
    """Wait for the timer's runs alone."""
    host.wait_for(lambda: record(host)["applied"] == revision or None, what=f"{revision} in force")


def described(host: Host) -> str:
    """What the running server says of itself."""
    config: dict[str, Any] = json.loads(host.read("/etc/genesis-stack/models/smol.json"))
    return str(config["description"])


def test_a_pushed_commit_is_in_force_by_itself(host: Host, smollm2: Path) -> None:
    """The apply has started the timer; its next look follows."""
    wait_until_applied(host, commit(host, text(smollm2, "two")))
    assert described(host) == "two"


def test_an_unsigned_commit_is_refused_and_a_signed_one_in_its_place_followed(
    host: Host, smollm2: Path
) -> None:
    """The run ends with 77; the branch is mended by moving it to a signed commit on what is in force."""
    before = record(host)["applied"]
    revision = commit(host, text(smollm2, "unsigned"), sign=False)
    host.wait_for(lambda: record(host)["trouble"], what="the refusal")
    assert record(host)["trouble"]["kind"] == "refused"
    assert host.run([GENESIS_STACK, "agent", "run-once", "--lock-timeout=60"], check=False).returncode == 77
    assert (described(host), record(host)["applied"]) == ("two", before)
    host.run(["git", "-C", WORK, "commit", "-q", "--amend", "--no-edit", "-S"])
    host.run(["git", "-C", WORK, "push", "-q", "--force", "origin", "HEAD:main"])
    signed = host.run(["git", "-C", WORK, "rev-parse", "HEAD"]).stdout.strip()
    assert signed != revision
    wait_until_applied(host, signed)


def test_at_rest_the_agent_is_not_even_started(host: Host) -> None:
    """The timer fires, its condition says that nothing has changed; an edited file is noticed and healed."""
    rest = "/var/lib/genesis-stack/agent/rest"
    host.wait_for(lambda: host.exists(rest) or None, what="all at rest")
    before = host.run(["stat", "-c", "%Y", rest]).stdout
    host.wait_for(lambda: host.run(["stat", "-c", "%Y", rest]).stdout != before or None, what="a look")
    assert "Skipped due to 'exec-condition'" in host.run([GENESIS_STACK, "logs", "gitops.agent"]).stdout
    unit = "/etc/systemd/system/smol-server.service"
    honest = host.read(unit)
    host.write(unit, honest + "# by hand\n")
    host.wait_for(lambda: host.read(unit) == honest or None, what="the honest unit")


def test_without_root_one_is_told_that_the_stack_is_the_systems(host: Host) -> None:
    """What is applied is hidden from users; that something is, is not."""
    host.run(["chmod", "711", "/root"])  # this environment's Python may lie below it
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp"]
    told = host.run([*nobody, GENESIS_STACK, "status"])
    assert "generation none" in told.stdout
    assert "`sudo`" in told.stderr
    assert "`sudo`" not in host.run([GENESIS_STACK, "status"]).stderr


def test_a_stopped_timer_is_drift_and_apply_starts_it(host: Host) -> None:
    """Nobody else would."""
    host.systemctl("disable", "--now", "genesis-agent.timer")
    assert "gitops.agent" in host.run([GENESIS_STACK, "drift"], check=False).stdout
    host.run([GENESIS_STACK, "apply", f"{WORK}/stack.yaml", "--lock-timeout=60"], timeout=300)
    assert host.show("genesis-agent.timer", "ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }


def test_a_rollback_by_hand_stays(host: Host) -> None:
    """The agent is suspended and leaves it alone."""
    host.run([GENESIS_STACK, "rollback", "--lock-timeout=60"], timeout=300)
    assert record(host)["suspended"]["reason"].startswith("rolled back")
    rolled = described(host)
    looked = record(host)["looked"]
    host.wait_for(lambda: record(host)["looked"] > looked or None, what="another look")
    assert described(host) == rolled
    host.run([GENESIS_STACK, "agent", "resume", "--lock-timeout=60"])
    wait_until_applied(host, record(host)["seen"])
