"""Adapters by name, over HTTP."""

from __future__ import annotations

import pytest
from serving import MODEL, Served

from genesis_stack.protocol.serve_config import AdapterRef, ServeConfig


@pytest.fixture
def config(config: ServeConfig) -> ServeConfig:
    """The model with one adapter."""
    adapter = AdapterRef(path=config.weights.path, sha256="2" * 64, size=config.weights.size, scale=1.0)
    return config.model_copy(update={"adapters": {"legal": adapter}})


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
async def test_an_adapter_is_chosen_by_the_models_name(served: Served, path: str) -> None:
    """`model:adapter` runs with it, `model` without, and the answer carries the name that was asked."""
    body = {"messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "input": "hi"}
    for name, adapter in ((f"{MODEL}:legal", "legal"), (MODEL, "")):
        response = await served.post(path, {**body, "model": name})
        assert response.status_code == 200, response.text
        assert response.json()["model"] == name
        assert served.engine.requests[-1].adapter == adapter


async def test_adapters_are_listed(served: Served) -> None:
    """Beside the model, each retrievable by its name."""
    listed = (await served.http.get("/v1/models")).json()["data"]
    assert [model["id"] for model in listed] == [MODEL, f"{MODEL}:legal"]
    assert (await served.http.get(f"/v1/models/{MODEL}:legal")).json()["id"] == f"{MODEL}:legal"


@pytest.mark.parametrize(
    "name", [f"{MODEL}:illegal", f"{MODEL}:", "legal", "other:legal", f"{MODEL}:legal:legal"]
)
async def test_an_unknown_adapter_is_not_found(served: Served, name: str) -> None:
    """404, as for an unknown model."""
    response = await served.post("/v1/completions", {"model": name, "prompt": "hi"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
