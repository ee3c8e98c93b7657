"""Models that see and models that embed, served over TLS: every check of theirs is made, and holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import gguf
import pytest
from certificates import issue
from engine.synthetic import write_encoder
from engine.tiny_vision import write_vision_model
from hosts.fixtures import PYTHON
from hosts.nspawn import Host, boot
from program import GENESIS_STACK

from verify.pair import STACK
from verify.sabotages import violated

pytestmark = pytest.mark.host
SECRETS: Final = "/etc/genesis-stack/secrets"


def declared(file: Path) -> str:
    """A model file."""
    return f'{{source: "file://{file}", sha256: {sha256(file.read_bytes()).hexdigest()}}}'


def stack(folder: Path) -> str:
    """One of each kind, with files of random weights."""
    seeing = write_vision_model(folder)
    embedding = write_encoder(folder / "encoder.gguf", gguf.PoolingType.MEAN)
    return f"""
api_version: genesis.stack/v1
name: kinds
http: {{tls: {{certificate_secret: tls.crt, key_secret: tls.key}}}}
clients:
  verifier:
    models: [eyes, vectors]
    requests_per_minute: 60
    keys: {{main: {{secret: verifier-key}}}}
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 100ms, deadline: 5m}}}}
models:
  eyes:
    task: vision
    port: 8000
    weights: {declared(seeing.weights)}
    projector: {declared(seeing.projector)}
    engine: {{context: 1024, parallel: 2}}
    budget: {{memory: 768MiB, cpus: 1}}
  vectors:
    task: embedding
    port: 8001
    weights: {declared(embedding)}
    engine: {{context: 128, parallel: 2}}
    budget: {{memory: 512MiB, cpus: 1}}
"""


@pytest.fixture(scope="module")
def kinds(host_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that serves both, with a key that verifies."""
    folder = tmp_path_factory.mktemp("kinds")
    text = stack(folder)
    issue(folder, "kinds.example")
    with boot(host_root, read_only=(*PYTHON, folder)) as host:
        for secret in ("tls.crt", "tls.key"):
            host.write(f"{SECRETS}/{secret}", (folder / secret).read_text(), mode=0o600)
        host.write(STACK, text)
        key = host.run([GENESIS_STACK, "clients", "add", "verifier", "--stack", STACK]).stdout
        host.write("/etc/genesis-stack/verify.key", key, mode=0o600)
        host.run([GENESIS_STACK, "apply", STACK], timeout=600)
        yield host


def findings(host: Host) -> dict[str, Any]:
    """What `verify --json` says."""
    done = host.run([GENESIS_STACK, "verify", STACK, "--json"], check=False, timeout=600)
    assert done.returncode in {0, 6}, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_image_and_an_embedding_are_answered_over_tls(kinds: Host) -> None:
    """Nothing is violated, and of each model what it is there for was asked."""
    report = findings(kinds)
    assert list(violated(report)) == []
    held = {(one["model"], one["check"]) for one in report["findings"] if one["outcome"] == "holds"}
    everybody = {
        "who_answers_is_who_was_applied",
        "ready",
        "no_key",
        "wrong_signature",
        "replay",
        "over_quota",
    }
    assert held >= {(model, check) for model in ("eyes", "vectors") for check in everybody}
    assert held >= {("eyes", check) for check in ("completion", "stream", "image")} | {
        ("vectors", "embedding")
    }


def test_a_projector_that_changed_is_found(kinds: Host) -> None:
    """It counts as much as the weights that it belongs to. Without a key nobody waits for the next minute."""
    kinds.run(["rm", "/etc/genesis-stack/verify.key"])
    text = kinds.read(STACK)
    digest = text.partition("projector: ")[2].partition("sha256: ")[2][:64]
    projector = f"/var/lib/genesis-stack/models/sha256/{digest}"
    kinds.run(["dd", f"of={projector}", "bs=1", "seek=500000", "conv=notrunc"], input_text="\0")
    assert set(violated(findings(kinds))) == {"eyes: digest", "plan_has_nothing_to_do"}
    kinds.run([GENESIS_STACK, "apply", STACK], timeout=600)
    assert list(violated(findings(kinds))) == []
