from __future__ import annotations

from typing import Any

import pytest
from serving import MODEL, Served

DOCUMENTS = ["zzz", "aaa", "azz", "aaa"]


async def rank(served: Served, **fields: Any) -> Any:
    """The answer to a ranking of the documents by how much of an "a" they have."""
    response = await served.post(
        "/v1/rerank", {"model": MODEL, "query": "a", "documents": DOCUMENTS, **fields}
    )
    assert response.status_code == 200, response.text
    return response.json()


async def test_documents_come_best_first(served: Served) -> None:
    """By score, equal ones in the order given, each with the index it had."""
    results = (await rank(served))["results"]
    assert [result["index"] for result in results] == [1, 3, 2, 0]
    assert [result["relevance_score"] for result in results] == pytest.approx([1, 1, 1 / 3, 0])
    assert "document" not in results[0]


async def test_only_the_best_are_asked_for(served: Served) -> None:
    """With their texts, also where they came as objects."""
    answer = await rank(
        served, top_n=1, return_documents=True, documents=[{"text": one} for one in DOCUMENTS]
    )
    assert answer["results"] == [{"index": 1, "relevance_score": 1.0, "document": {"text": "aaa"}}]
    assert answer["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize(
    "fields",
    [{"documents": []}, {"documents": [""]}, {"query": ""}, {"top_n": 0}, {"documents": ["a"] * 1001}],
)
async def test_what_cannot_be_ranked_is_refused(served: Served, fields: dict[str, Any]) -> None:
    """With 400 and the field."""
    body = {"model": MODEL, "query": "a", "documents": DOCUMENTS, **fields}
    response = await served.post("/v1/rerank", body)
    assert response.status_code == 400
    assert response.json()["error"]["param"].split("[")[0] == next(iter(fields))
