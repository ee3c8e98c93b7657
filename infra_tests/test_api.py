"""The API answers as promised, and only whom it should."""

from __future__ import annotations

import pytest

from genesis_stack.render.serve import config_path
from genesis_stack.verify.api import KEY_FILE, MOST_ASKED, TOO_SLOW, Answer, Answers
from genesis_stack.verify.machine import LAYOUT, Machine
from genesis_stack.verify.plugin import Evidence

NO_KEY = f"it needs a key of a declared client in {LAYOUT.config / KEY_FILE}"


def answers(machine: Machine, model: str) -> Answers:
    """What the running servers answered."""
    if machine.process(model) is None:
        pytest.skip("the server does not run")
    return machine.answers


def answer(machine: Machine, model: str, name: str, evidence: Evidence, *, key: bool = True) -> Answer:
    """What the server answered to a request, which was made with a key if it needs one."""
    all_ = answers(machine, model)
    found = all_.by_model[model].get(name)
    if found is None:
        pytest.skip(f"nothing to ask a model for {machine.model(model).task}")
    if key and all_.problem:
        pytest.skip(f"{NO_KEY} ({all_.problem})")
    evidence(name, found)
    return found


def only_with_clients(machine: Machine) -> None:
    """Leave the check out where the stack lets everybody on this machine in."""
    if not machine.stack.clients:
        pytest.skip("the stack declares no clients")


def test_who_answers_is_who_was_applied(machine: Machine, model: str, evidence: Evidence) -> None:
    """The server that answers loaded the declared model, with the config in force."""
    health = answer(machine, model, "health", evidence, key=False).data
    generation = machine.facts.generation
    applied = {str(file.path): file.sha256 for file in generation.files} if generation else {}
    assert health.get("model_digest") == machine.model(model).weights.sha256, "it loaded another model"
    expected = applied.get(str(config_path(model, LAYOUT)))
    if expected is None:
        pytest.skip("there is no generation to compare with")
    assert health.get("config_digest") == expected, "it runs with another config than the one in force"


def test_ready(machine: Machine, model: str, evidence: Evidence) -> None:
    """It is ready; a model that leaves memory when idle need not be there now."""
    health = answer(machine, model, "health", evidence, key=False)
    assert health.data.get("status") in {"ready", "unloaded"}, str(health)


def test_no_key(machine: Machine, model: str, evidence: Evidence) -> None:
    """A request without a key is refused (401)."""
    only_with_clients(machine)
    found = answer(machine, model, "no key", evidence, key=False)
    assert found.status == 401, str(found)


def test_wrong_signature(machine: Machine, model: str, evidence: Evidence) -> None:
    """A request with a forged signature is refused (401)."""
    only_with_clients(machine)
    found = answer(machine, model, "wrong signature", evidence, key=False)
    assert found.status == 401, str(found)


def test_replay(machine: Machine, model: str, evidence: Evidence) -> None:
    """A signed request that is sent a second time is refused (401)."""
    only_with_clients(machine)
    if not answers(machine, model).problem and not answers(machine, model).signs:
        pytest.skip("the key that verifies does not sign")
    found = answer(machine, model, "replay", evidence)
    assert found.status == 401, str(found)


def test_completion(machine: Machine, model: str, evidence: Evidence) -> None:
    """It completes a chat."""
    found = answer(machine, model, "completion", evidence)
    assert found.status == 200, str(found)
    assert found.data["usage"]["completion_tokens"] > 0, "the answer has no tokens"


def test_stream(machine: Machine, model: str, evidence: Evidence) -> None:
    """It streams a chat to its end."""
    found = answer(machine, model, "stream", evidence)
    assert found.status == 200, str(found)
    assert found.headers.get("content-type", "").startswith("text/event-stream"), "it does not stream"
    assert found.body.rstrip().endswith("data: [DONE]"), "the stream has no end"


def test_image(machine: Machine, model: str, evidence: Evidence) -> None:
    """It answers about an image."""
    found = answer(machine, model, "image", evidence)
    assert found.status == 200, str(found)
    assert found.data["usage"]["completion_tokens"] > 0, "the answer has no tokens"


def test_embedding(machine: Machine, model: str, evidence: Evidence) -> None:
    """It embeds a text."""
    found = answer(machine, model, "embedding", evidence)
    assert found.status == 200, str(found)
    assert found.data["data"][0]["embedding"], "the embedding is empty"


def test_unknown_model(machine: Machine, model: str, evidence: Evidence) -> None:
    """A model that it does not serve is not found (404)."""
    found = answer(machine, model, "unknown model", evidence)
    assert found.status == 404, str(found)


def test_oversize(machine: Machine, model: str, evidence: Evidence) -> None:
    """A body above the declared size is too large (413)."""
    found = answer(machine, model, "oversize", evidence)
    assert found.status == 413, str(found)


def test_over_quota(machine: Machine, model: str, evidence: Evidence) -> None:
    """A client above its requests a minute is told to wait (429)."""
    only_with_clients(machine)
    found = answer(machine, model, "over quota", evidence)
    client = machine.stack.clients.get(answers(machine, model).client)
    if client is None or client.requests_per_minute > MOST_ASKED:
        pytest.skip(f"its client may make more than {MOST_ASKED} requests a minute")
    if found.error == TOO_SLOW:
        pytest.skip(TOO_SLOW)
    assert found.status == 429, str(found)
    assert float(found.headers["retry-after"]) > 0, "it does not say when to come again"
