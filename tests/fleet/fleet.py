"""Three hosts that follow one repository, the repository's host, and the network between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hosts.fixtures import PYTHON
from hosts.nspawn import Host, boot
from program import GENESIS_STACK
from small_model import DIGEST
from waiting import until

from fleet.network import Network, network
from fleet.origin import NOTICES_PORT, Origin
from genesis_stack.process import Completed

NAMES: Final = ("alpha", "beta", "gamma")
CANARY: Final = "alpha"
ADDRESSES: Final = {"alpha": "10.77.0.1", "beta": "10.77.0.2", "gamma": "10.77.0.3", "origin": "10.77.0.9"}
GATEWAY: Final = f"http://{ADDRESSES['alpha']}:8080"
KEYS: Final = "/etc/genesis-stack/access/keys.json"
RECORD: Final = "/var/lib/genesis-stack/agent/record.json"
PARALLEL: Final = 4
"""Streams that a host works on at the same time; more wait there."""
PATIENCE: Final = 300.0
"""Seconds until something that has no promise counts as never."""


@dataclass(frozen=True)
class Fleet:
    """Everything that is booted; `key` is a client's."""

    hosts: Mapping[str, Host]
    origin: Origin
    network: Network
    weights: Path
    key: str

    def stack(self, *, context: int = 512, digest: str = DIGEST) -> str:
        """The stack that all follow; a change of `context` restarts every server."""
        return stack_text(self.origin, self.weights, context=context, digest=digest)

    def cli(self, name: str, *words: str, check: bool = True) -> Completed:
        """Run this environment's program on a host."""
        return self.hosts[name].run([GENESIS_STACK, *words], check=check, timeout=PATIENCE)

    def record(self, name: str) -> dict[str, Any]:
        """What the agent of a host knows of its last run."""
        read = self.hosts[name].run(["cat", RECORD], check=False).stdout
        return json.loads(read) if read else {}

    def applied(self) -> dict[str, str | None]:
        """The revision in force, by host."""
        return {name: self.record(name).get("applied") for name in self.hosts}

    def converge(self, revision: str, deadline: float = PATIENCE) -> None:
        """Wait until every host has this revision in force."""
        wanted = dict.fromkeys(self.hosts, revision)
        try:
            until(lambda: self.applied() == wanted, f"{revision} everywhere", seconds=deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def told(self, revision: str, outcome: str, names: Sequence[str] = NAMES) -> None:
        """Wait until each of these hosts has told this of a revision."""

        def missing() -> set[str]:
            told = self.origin.notices(revision)
            return set(names) - {one["host"] for one in told if one["outcome"] == outcome}

        try:
            until(lambda: not missing(), lambda: f"{outcome} told by {missing()}", seconds=PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def story(self) -> str:
        """What the agents have said, for a failed test."""
        words = ["journalctl", "--no-pager", "--output=cat", "--lines=25", "--unit=genesis-agent.service"]
        return "\n".join(
            f"-- {name}: {self.record(name)}\n{host.run(words, check=False).stdout}"
            for name, host in self.hosts.items()
        )


@contextmanager
def fleet(root: Path, weights: Path) -> Iterator[Fleet]:
    """Boot everything and let each host follow the repository; all hosts are in sync at first."""
    with ExitStack() as cleanup:
        pool = cleanup.enter_context(ThreadPoolExecutor(len(ADDRESSES)))  # hosts end with their threads
        lan = cleanup.enter_context(network())
        booting = {name: boot(root, read_only=(*PYTHON, weights)) for name in ADDRESSES}
        started = {name: pool.submit(one.__enter__) for name, one in booting.items()}
        for name, one in started.items():
            if one.exception() is None:
                cleanup.push(booting[name].__exit__)
        booted = {name: one.result() for name, one in started.items()}
        for name, host in booted.items():
            lan.plug(host, name, ADDRESSES[name])
            host.run(["hostname", name])
        origin = Origin(booted.pop("origin"), ADDRESSES["origin"])
        origin.set_up([deploy_key(host) for host in booted.values()])
        first = Fleet(booted, origin, lan, weights, "")
        revision = origin.push(first.stack())
        list(pool.map(lambda name: let_in(first, name), booted))
        key = share_key(first)
        list(pool.map(lambda name: first.cli(name, "apply", "/root/stack.yaml"), booted))
        whole = Fleet(booted, origin, lan, weights, key)
        whole.converge(revision)
        yield whole


def deploy_key(host: Host) -> str:
    """Make a host's own key, with which it reads the repository."""
    host.run(["install", "-d", "-m", "700", "/root/.ssh"])
    host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "/root/.ssh/id_ed25519"])
    return host.read("/root/.ssh/id_ed25519.pub").strip()


def let_in(fleet: Fleet, name: str) -> None:
    """Give a host what the repository cannot give it: whom it trusts, and its own secrets."""
    host, canary = fleet.hosts[name], fleet.hosts[CANARY]
    others = [f"{ADDRESSES[name]} {fleet.origin.host_key.partition(' ')[2]}" for name in NAMES]
    host.write("/root/.ssh/known_hosts", "\n".join([fleet.origin.host_key, *others]) + "\n")
    host.write("/root/.ssh/authorized_keys", canary.read("/root/.ssh/id_ed25519.pub"), mode=0o600)
    if name == CANARY:
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", ""]
        host.run(["install", "-d", "-m", "700", "/etc/genesis-stack/secrets"])
        host.run([*words, "-f", "/etc/genesis-stack/secrets/canary-key"])
        host.run(["chmod", "600", "/etc/genesis-stack/secrets/canary-key.pub"])
    host.write("/root/.ssh/config", "Host *\n  ConnectTimeout 5\n")
    host.write("/root/stack.yaml", fleet.stack())


def share_key(fleet: Fleet) -> str:
    """Issue a client's key on the canary, and let the others know its digest and whom to trust."""
    canary = fleet.hosts[CANARY]
    key = fleet.cli(CANARY, "clients", "add", "app", "--stack", "/root/stack.yaml").stdout.strip()
    vouches = canary.read("/etc/genesis-stack/secrets/canary-key.pub").strip()
    signers = f'{fleet.origin.signer}\n{CANARY} namespaces="genesis-canary" {vouches}\n'
    for host in fleet.hosts.values():
        host.write(KEYS, canary.read(KEYS))
        host.write("/etc/genesis-stack/allowed_signers", signers)
    return key


def stack_text(origin: Origin, weights: Path, *, context: int, digest: str) -> str:
    """One model on three hosts behind a gateway, followed by agents."""
    hosts = "\n".join(
        f"  {name}: {{address: 'ssh://root@{ADDRESSES[name]}', listen: {ADDRESSES[name]}}}" for name in NAMES
    )
    return f"""
api_version: genesis.stack/v1
name: fleet
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 100ms, deadline: 4m}}}}
models:
  smol:
    port: 8000
    weights: {{source: "file://{weights}", sha256: {digest}, size: {weights.stat().st_size}}}
    engine: {{context: {context}, parallel: {PARALLEL}, threads: 1}}
    budget: {{memory: 768MiB, cpus: 2}}
clients:
  app: {{models: [smol], requests_per_minute: 6000, tokens_per_minute: 1000000, concurrent: 64}}
gateway: {{listen: {ADDRESSES[CANARY]}, port: 8080, hosts: [{CANARY}]}}
hosts:
{hosts}
gitops:
  repository: {origin.url}
  interval: 10s
  canary: {{host: {CANARY}}}
  webhook: {{url: "http://{origin.address}:{NOTICES_PORT}/"}}
"""
