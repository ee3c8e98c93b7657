"""POST /v1/responses: the same pipeline in the newer shapes."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from scripted_engine import ScriptedEngine, saying
from serving import MODEL, Serve, Served

from genesis_stack.engine.interface import FinishReason

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}


async def respond(served: Served, given: Any, **fields: Any) -> httpx.Response:
    """POST a response."""
    return await served.post("/v1/responses", {"model": MODEL, "input": given, **fields})


def typed_events(response: httpx.Response) -> list[dict[str, Any]]:
    """The events; their names and numbers are checked."""
    events = []
    for number, block in enumerate(response.text.strip().split("\n\n")):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        events.append(event)
    return events


async def test_an_answer_is_a_message_item(served: Served) -> None:
    """Text, status and counts."""
    body = (await respond(served, "hi", instructions="Be brief.")).json()
    assert (body["object"], body["status"]) == ("response", "completed")
    (item,) = body["output"]
    assert (item["type"], item["content"][0]["text"]) == ("message", "Hello.")
    assert body["usage"]["output_tokens"] == 2
    prompt = served.engine.detokenize(served.engine.requests[0].prompt)
    assert prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>")


async def test_the_events_tell_how_it_came_about(served: Served) -> None:
    """From created to completed, deltas adding up to the final text."""
    events = typed_events(await respond(served, "hi", stream=True))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert "".join(event["delta"] for event in events if "delta" in event) == "Hello."
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello."
    assert events[2]["item"]["status"] == "in_progress"


async def test_reasoning_text_and_calls_are_items_in_order(serve: Serve) -> None:
    """Each opens and closes before the next."""
    text = ("<think>Hm.</think>", "So:", '<tool_call>{"name": "weather", "arguments": {"a": 1}}</tool_call>')
    template = "{% for m in messages %}{{ m.content }}{% endfor %}{{ tools }}{# </think> <tool_call> #}"
    served = await serve(ScriptedEngine(saying(*text), template=template))
    body = (await respond(served, "hi", tools=[TOOL])).json()
    assert [item["type"] for item in body["output"]] == ["reasoning", "message", "function_call"]
    assert all(item["status"] == "completed" for item in body["output"])
    assert body["output"][2]["arguments"] == '{"a": 1}'
    events = typed_events(await respond(served, "hi", tools=[TOOL], stream=True))
    assert events[-1]["response"]["output"][2]["name"] == "weather"


async def test_a_cut_answer_is_incomplete(serve: Serve) -> None:
    """With the reason."""
    served = await serve(ScriptedEngine(saying("a", finish=FinishReason.LENGTH)))
    body = (await respond(served, "hi", max_output_tokens=1)).json()
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_calls_and_their_outputs_are_turns(served: Served) -> None:
    """Items become messages: a call and its output included."""
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "Sunny."},
    ]
    assert (await respond(served, items)).status_code == 200
    prompt = served.engine.detokenize(served.engine.requests[0].prompt)
    assert "<|im_start|>tool\nSunny.<|im_end|>" in prompt


@pytest.mark.parametrize(
    ("given", "fields", "param"),
    [
        ("hi", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ([], {}, "input"),
        ([{"type": "video"}], {}, "input[0]"),
        ([{"role": "wizard", "content": "x"}], {}, "input[0].role"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], {}, "input[0].content[0].image_url"),
        ("hi", {"max_output_tokens": 0}, "max_output_tokens"),
        ("hi", {"text": {"format": {"type": "xml"}}}, "text.format"),
    ],
)
async def test_what_cannot_be_is_a_400(
    served: Served, given: Any, fields: dict[str, Any], param: str
) -> None:
    """With the field."""
    response = await respond(served, given, **fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_a_schema_is_passed_on(served: Served) -> None:
    """`text.format` is chat's `response_format`."""
    schema = {"type": "object", "properties": {}}
    text = {"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}
    body = (await respond(served, "hi", text=text)).json()
    assert json.loads(served.engine.requests[0].sampling.json_schema or "") == schema
    assert body["text"]["format"]["schema"] == schema


@pytest.mark.parametrize(
    "items",
    [
        [{"type": "reasoning", "id": "r", "summary": []}],
        [
            {"type": "function_call", "call_id": str(number), "name": "f", "arguments": "{}"}
            for number in range(200)
        ],
    ],
    ids=["no message", "too many calls"],
)
async def test_what_is_no_conversation_is_refused(served: Served, items: list[dict[str, Any]]) -> None:
    """400, as with chat messages."""
    response = await served.post("/v1/responses", {"model": "scripted", "input": items})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "input"
