"""The gateway under the embedded backend, before real servers with the real small model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from program import embedded
from small_model import DIGEST

from gateway.front import PATIENCE, reserved
from genesis_stack.backends.embedded import EmbeddedBackend
from genesis_stack.backends.gateway import lint_gateway
from genesis_stack.backends.interface import LintError
from genesis_stack.client import SignatureAuth
from genesis_stack.errors import ExitCode
from genesis_stack.layout import Layout
from genesis_stack.process import Completed
from genesis_stack.spec.load import load

pytestmark = [pytest.mark.prometheus, pytest.mark.model, pytest.mark.timeout(300)]


@dataclass
class Here:
    """This machine, below a directory of the test's own."""

    root: Path
    weights: Path
    ports: tuple[int, int, int]

    @property
    def url(self) -> str:
        """The gateway's."""
        return f"http://127.0.0.1:{self.ports[1]}"

    def write(self, gateway: str = "") -> str:
        """A stack of one model whose gateway has these settings."""
        model, front, metrics = self.ports
        path = self.root / "stack.yaml"
        path.write_text(
            f"""
api_version: genesis.stack/v1
name: door
defaults: {{reserve: 64MiB, rollout: {{min_healthy: 200ms, deadline: 120s}}}}
models:
  smol:
    port: {model}
    weights: {{source: "file://{self.weights}", sha256: {DIGEST}}}
    engine: {{context: 512, parallel: 2}}
    budget: {{memory: 1GiB, cpus: 2}}
clients:
  plain: {{models: [smol]}}
  signer: {{models: [smol], require_signature: true, keys: {{main: {{secret: signer-hmac}}}}}}
gateway: {{port: {front}, metrics_port: {metrics}{gateway}}}
"""
        )
        return str(path)

    def key(self, client: str) -> str:
        """A new key of a client."""
        done = self.cli("clients", "add", client, "--stack", str(self.root / "stack.yaml"), "--json")
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["key"])

    def cli(self, *words: str) -> Completed:
        """Run the installed program."""
        return embedded(self.root, *words, timeout=240)


@pytest.fixture
def here(smollm2: Path) -> Iterator[Here]:
    """Ports that stay ours, and an end for whatever was started."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gs-")))  # short: unix sockets
        held = [stack.enter_context(reserved()) for _ in range(3)]
        model, front, metrics = (one.getsockname()[1] for one in held)
        held[0].close()  # the arbiter binds it alone
        machine = Here(folder, smollm2, (model, front, metrics))
        try:
            yield machine
        finally:
            machine.cli("destroy", "--yes")


BODY = {"model": "smol", "messages": [{"role": "user", "content": "Count."}], "max_tokens": 4}


async def test_bearer_and_signature_pass_and_a_change_drops_no_stream(here: Here) -> None:
    """As a user has it: keys issued, applied, called both ways, changed while an answer streams."""
    here.write()
    keys = {client: here.key(client) for client in ("plain", "signer")}
    done = here.cli("apply", here.write())
    assert done.returncode == 0, done.stderr
    assert here.cli("plan", here.write(), "--exit-code").returncode == ExitCode.OK
    async with httpx.AsyncClient(base_url=here.url, timeout=PATIENCE, trust_env=False) as http:
        chat = "/v1/chat/completions"
        bearer = {"Authorization": f"Bearer {keys['plain']}"}
        assert (await http.post(chat, json=BODY)).status_code == 401
        assert (await http.post(chat, json=BODY, headers=bearer)).status_code == 200
        auth = SignatureAuth(keys["signer"])
        async with asyncio.timeout(PATIENCE):
            # A server that has just begun cannot tell that a nonce is new, and says so.
            while (signed := await http.post(chat, json=BODY, auth=auth)).status_code == 503:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        assert signed.status_code == 200
        assert (await http.get("/v1/models")).status_code == 401
        listed = (await http.get("/v1/models", headers=bearer)).json()
        assert [one["id"] for one in listed["data"]] == ["smol"]

        long = {**BODY, "max_tokens": 200, "ignore_eos": True, "stream": True}
        async with http.stream("POST", chat, json=long, headers=bearer) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            changed = await asyncio.to_thread(here.cli, "apply", here.write(", memory: 200MiB"))
            assert changed.returncode == 0, changed.stderr
            assert [line async for line in lines if line][-1] == "data: [DONE]"
        assert (await http.post(chat, json=BODY, headers=bearer)).status_code == 200
    assert here.cli("drift").returncode == 0
    assert here.cli("destroy", "--yes").returncode == 0


def test_without_haproxy_the_apply_says_what_to_install(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been touched: a stack with a gateway is no stack without it."""
    monkeypatch.setattr("genesis_stack.backends.gateway.SYSTEM_PROGRAMS", "/nonexistent")
    monkeypatch.setenv("PATH", "/nonexistent")
    backend = EmbeddedBackend(Layout.under(here.root))
    stack = load(Path(here.write()))
    monitors = backend.monitors(stack)
    assert [one.name for one in monitors] == ["front.gateway"]
    with pytest.raises(LintError, match="apt install haproxy"):
        lint_gateway(here.root, monitors)
