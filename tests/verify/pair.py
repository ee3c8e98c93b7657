"""A host with two served models, as the reference stack has two: what the checks are tried on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from hosts.nspawn import Host
from program import GENESIS_STACK

from genesis_stack.process import Completed, run

STACK: Final = "/root/stack.yaml"
SSHD: Final = ("/usr/sbin/sshd", "-i", "-o", "PermitRootLogin=prohibit-password")
STORE: Final = "/var/lib/genesis-stack/models/sha256"
NAME: Final = b"Lc100K Mix1"
"""Words of the model's title, which nothing depends on."""
ASK: Final = """
import http.client, sys, time
from genesis_stack.protocol.signing import Head, sign
method, path, body, times = sys.argv[1], sys.argv[2], sys.argv[3].encode(), int(sys.argv[4])
key = open("/run/client.key").read().strip()
head = Head(method, b"127.0.0.1:8000", path.encode())
while times:
    fields = sign(head, body, key_id=key.split("_")[1], secret=key.encode())
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=600)
    connection.request(method, path, body or None, {"Content-Type": "application/json", **fields})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status == 503:  # a server that has just started takes no signature from before
        time.sleep(0.2)
    else:
        times -= 1
"""
RENAME: Final = f"""
import pathlib, sys
content = pathlib.Path(sys.argv[1]).read_bytes()
pathlib.Path("/srv/second.gguf").write_bytes(content.replace({NAME!r}, {NAME[::-1]!r}, 1))
"""


@dataclass(frozen=True)
class Pair:
    """The host, the digests of its two models, `text` and `plan`, and a client's key, which signs."""

    host: Host
    digests: Mapping[str, str]
    key: str

    def weights(self, model: str) -> str:
        """A model's file in the store."""
        return f"{STORE}/{self.digests[model]}"

    def cli(self, *words: str, check: bool = True) -> Completed:
        """Run this environment's program inside."""
        return self.host.run([GENESIS_STACK, *words], check=check, timeout=600)

    def verify(self) -> dict[str, Any]:
        """What `verify --json` says."""
        done = self.cli("verify", STACK, "--json", check=False)
        assert done.returncode in {0, 6}, f"{done.stdout}\n{done.stderr}"
        report: dict[str, Any] = json.loads(done.stdout)
        assert report["kept"] == (done.returncode == 0)
        return report

    def chat(self, model: str, *, tokens: int) -> None:
        """Ask as the client does, whatever is answered."""
        messages = [{"role": "user", "content": "Count."}]
        body = json.dumps({"model": model, "messages": messages, "max_tokens": tokens})
        self._ask("POST", "/v1/chat/completions", body, times=1)

    def list_models(self, *, times: int) -> None:
        """Ask often for what is answered quickly."""
        self._ask("GET", "/v1/models", "", times=times)

    def _ask(self, method: str, path: str, body: str, *, times: int) -> None:
        self.host.write("/run/client.key", self.key, mode=0o600)
        python = GENESIS_STACK.with_name("python")
        self.host.run([python, "-c", ASK, method, path, body, times], timeout=600)

    def ssh_config(self, folder: Path) -> Path:
        """A configuration for ssh that leads to a real sshd, with a pipe into the host for a network."""
        identity = folder / "identity"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", identity])
        self.host.run(["mkdir", "-p", "/run/sshd"])
        public = identity.with_suffix(".pub").read_text()
        self.host.write("/root/.ssh/authorized_keys", public, mode=0o600)
        config = folder / "config"
        config.write_text(
            f"Host pair\n  User root\n  IdentityFile {identity}\n  LogLevel ERROR\n"
            "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
            f"  ProxyCommand {' '.join(self.host.entering(SSHD))}\n"
        )
        return config

    def verify_over_ssh(self, config: Path, *words: str | Path) -> dict[str, Any]:
        """What `verify --json` says, asked from this machine."""
        return self.verify_at("ssh://pair", config.parent, "--ssh-config", config, *words)

    def verify_at(self, address: str, folder: Path, *words: str | Path) -> dict[str, Any]:
        """What `verify --json` says, asked from this machine at an address; `folder` takes the stack."""
        stack = folder / "stack.yaml"
        stack.write_text(self.host.read(STACK))
        argv = [GENESIS_STACK, "verify", stack, "--json", "--host", address, *words]
        done = run(argv, check=False, timeout=600)
        assert done.returncode in {0, 6}, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def heal(self) -> None:
        """Apply the stack again."""
        self.cli("apply", STACK)


def set_up(host: Host, weights: Path) -> Pair:
    """Serve two models from a freshly booted host; the second one's file is the first's, renamed inside."""
    original = weights.read_bytes()
    second = original.replace(NAME, NAME[::-1], 1)
    assert second != original
    digests = {"text": sha256(original).hexdigest(), "plan": sha256(second).hexdigest()}
    host.run(["python3", "-c", RENAME, weights])
    host.write(STACK, stack(weights, digests, original_size=len(original)))
    key = host.run([GENESIS_STACK, "clients", "add", "verifier", "--stack", STACK]).stdout
    pair = Pair(host, digests, key)
    pair.heal()
    return pair


def stack(weights: Path, digests: Mapping[str, str], *, original_size: int) -> str:
    """The stack of both."""
    return f"""
api_version: genesis.stack/v1
name: pair
clients:
  verifier:
    models: [text, plan]
    requests_per_minute: 60
    keys: {{main: {{secret: verifier-key}}}}
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 100ms, deadline: 5m}}}}
models:
  text:
    port: 8000
    weights: {{source: "file://{weights}", sha256: {digests["text"]}, size: {original_size}}}
    engine: {{context: 512, parallel: 2}}
    budget: {{memory: 1GiB, cpus: 1}}
  plan:
    port: 8001
    weights: {{source: "file:///srv/second.gguf", sha256: {digests["plan"]}}}
    engine: {{context: 512, parallel: 2}}
    budget: {{memory: 768MiB, cpus: 1}}
"""
