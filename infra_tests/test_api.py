"""The API answers as promised."""

from __future__ import annotations

import pytest

from genesis_stack.render.serve import config_path
from genesis_stack.verify.api import Answer
from genesis_stack.verify.machine import LAYOUT, Machine
from genesis_stack.verify.plugin import Evidence


def answer(machine: Machine, model: str, name: str, evidence: Evidence) -> Answer:
    """What the server answered to a request."""
    if machine.process(model) is None:
        pytest.skip("the server does not run")
    found = machine.answers[model].get(name)
    if found is None:
        pytest.skip(f"a model for {machine.model(model).task} has no such answer")
    evidence(name, found)
    return found


def test_who_answers_is_who_was_applied(machine: Machine, model: str, evidence: Evidence) -> None:
    """The server that answers loaded the declared model, with the config in force."""
    health = answer(machine, model, "health", evidence).data
    generation = machine.facts.generation
    applied = {str(file.path): file.sha256 for file in generation.files} if generation else {}
    assert health.get("model_digest") == machine.model(model).weights.sha256, "it loaded another model"
    expected = applied.get(str(config_path(model, LAYOUT)))
    assert health.get("config_digest") == expected, "it runs with another config than the one in force"


def test_ready(machine: Machine, model: str, evidence: Evidence) -> None:
    """It is ready."""
    health = answer(machine, model, "health", evidence)
    assert health.data.get("status") == "ready", str(health)


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
