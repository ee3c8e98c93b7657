"""A server tells what it is: health, models, properties, slots, tokens, metrics."""

from __future__ import annotations

import base64
import re
from array import array

import pytest
from scripted_engine import ScriptedEngine
from serving import MODEL, Serve, Served

from genesis_stack.engine.interface import EngineState
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.server.served_model import SERVING


@pytest.mark.parametrize("state", EngineState)
async def test_health_is_the_engine_s_state(serve: Serve, config: ServeConfig, state: EngineState) -> None:
    """200 only while requests are served; always with both digests."""
    served = await serve(ScriptedEngine())
    served.engine.state = state
    response = await served.http.get("/health")
    assert response.status_code == (200 if state in SERVING else 503)
    assert response.json() == {
        "status": state.value,
        "model": MODEL,
        "model_digest": config.weights.sha256,
        "config_digest": "c" * 64,
    }


async def test_models_lists_the_one_model(served: Served) -> None:
    """With OpenAI's fields and what the file says."""
    (model,) = (await served.http.get("/v1/models")).json()["data"]
    assert (model["id"], model["object"], model["owned_by"]) == (MODEL, "model", "genesis-stack")
    assert model["meta"]["n_ctx"] == 4096
    assert (await served.http.get(f"/v1/models/{MODEL}")).json() == model


async def test_props_state_the_setup(served: Served) -> None:
    """Threads, digests, template and defaults, by llama-server's names where it has them."""
    props = (await served.http.get("/props")).json()
    assert props["total_slots"] == 4
    assert props["engine"]["threads"] == 1
    assert props["default_generation_settings"]["params"]["temperature"] == 1.0
    assert props["chat_template"].startswith("{%")
    assert props["config_digest"] == "c" * 64


async def test_slots_is_a_list(served: Served) -> None:
    """Empty while nothing runs."""
    assert (await served.http.get("/slots")).json() == []


async def test_tokens_go_there_and_back(served: Served) -> None:
    """Control tokens count as such unless the request says otherwise."""
    tokens = (await served.post("/tokenize", {"content": "a<|im_end|>"})).json()["tokens"]
    assert tokens == [97, 257]
    assert (await served.post("/detokenize", {"tokens": tokens})).json() == {"content": "a<|im_end|>"}
    plain = await served.post("/tokenize", {"content": "<|im_end|>", "parse_special": False})
    assert max(plain.json()["tokens"]) < 256
    assert (await served.post("/detokenize", {"tokens": [70_000]})).status_code == 400
    assert (await served.post("/detokenize", {"tokens": []})).json() == {"content": ""}


async def test_embeddings_are_floats_or_base64(served: Served) -> None:
    """One vector an input; base64 is little-endian float32, which the SDK asks for."""
    body = {"model": MODEL, "input": ["a", "bcd"]}
    answer = (await served.post("/v1/embeddings", body)).json()
    assert [entry["embedding"] for entry in answer["data"]] == [[1.0, 0.5], [3.0, 0.5]]
    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    packed = (await served.post("/v1/embeddings", {**body, "encoding_format": "base64"})).json()
    assert list(array("f", base64.b64decode(packed["data"][1]["embedding"]))) == [3.0, 0.5]
    assert (await served.post("/v1/embeddings", {**body, "dimensions": 3})).status_code == 400


LLAMA_SERVER = {
    "llamacpp:prompt_tokens_total": 10.0,
    "llamacpp:tokens_predicted_total": 20.0,
    "llamacpp:prompt_tokens_seconds": 5.0,
    "llamacpp:predicted_tokens_seconds": 5.0,
    "llamacpp:requests_processing": 0.0,
    "llamacpp:requests_deferred": 0.0,
    "llamacpp:n_decode_total": 10.0,
    "llamacpp:n_busy_slots_per_decode": 2.0,
    "llamacpp:kv_cache_usage_ratio": 0.25,
    "llamacpp:request_latency_seconds_count": 0.0,
    "genesis_ready": 1.0,
}


async def test_metrics_have_llama_server_s_names(served: Served) -> None:
    """Existing dashboards work, and every series exists before the first request."""
    lines = (await served.http.get("/metrics")).text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert {name: float(values[name]) for name in LLAMA_SERVER} == LLAMA_SERVER
    assert float(values["genesis_memory_resident_bytes"]) > 1e6


async def test_metrics_count_what_was_answered(served: Served) -> None:
    """By route and status; unknown paths share one label, so that nobody can invent series."""
    await served.chat()
    await served.http.get("/a")
    await served.http.get("/b")
    text = (await served.http.get("/metrics")).text
    assert 'genesis_http_requests_total{route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'genesis_http_requests_total{route="unknown",status="404"} 2.0' in text
    assert "llamacpp:request_latency_seconds_count 1.0" in text


async def test_the_request_id_is_the_client_s_if_it_is_well_formed(served: Served) -> None:
    """Otherwise one is made: it goes into logs and headers."""
    kept = await served.http.get("/health", headers={"x-request-id": "run-7.a:b"})
    assert kept.headers["x-request-id"] == "run-7.a:b"
    made = await served.http.get("/health", headers={"x-request-id": "a\tb" * 99})
    assert re.fullmatch(r"[0-9a-f]{32}", made.headers["x-request-id"])
