"""Tools: the model is told of them, made to call them, and its calls are OpenAI's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scripted_engine import ScriptedEngine, saying
from serving import MODEL, Serve, events

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "of a city", "parameters": SCHEMA},
}
TIME = {"type": "function", "function": {"name": "time"}}
HERMES_CALL = (
    "Let me see.",
    "<tool_call>\n",
    '{"name": "weather", "argu',
    'ments": {"city": "Rome"}}',
    "\n</tool_call>",
)
LLAMA_TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}{{ tools | tojson }}{# <|python_tag|> #}"
HERMES_TEMPLATE = "{{ tools | tojson }}{% for m in messages %}{{ m | tojson }}{% endfor %}{# <tool_call> #}"


async def test_a_call_is_understood_whole(serve: Serve) -> None:
    """Text before it stays content; the finish reason says so."""
    served = await serve(ScriptedEngine(saying(*HERMES_CALL)))
    (choice,) = (await served.chat(tools=[WEATHER])).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see."
    (call,) = choice["message"]["tool_calls"]
    assert call["id"].startswith("call_")
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}


async def test_a_call_is_streamed_as_deltas(serve: Serve) -> None:
    """Name and id first, then the arguments in parts, all under one index."""
    served = await serve(ScriptedEngine(saying(*HERMES_CALL)))
    chunks = events(await served.chat(tools=[WEATHER], stream=True))
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert calls[0]["function"] == {"name": "weather", "arguments": ""}
    assert calls[0]["type"] == "function"
    assert "".join(call["function"]["arguments"] for call in calls) == '{"city": "Rome"}'
    assert {call["index"] for call in calls} == {0}
    assert all("id" not in call for call in calls[1:])
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_template_without_tools_is_helped(serve: Serve) -> None:
    """The system message tells the model what its template cannot."""
    served = await serve(ScriptedEngine())
    await served.chat(tools=[WEATHER])
    prompt = served.engine.detokenize(served.engine.requests[0].prompt)
    assert prompt.startswith("<|im_start|>system\n")
    assert '"name": "weather"' in prompt


@pytest.mark.parametrize(
    ("template", "key", "opener"),
    [(LLAMA_TEMPLATE, "parameters", ""), (HERMES_TEMPLATE, "arguments", "<tool_call>\n")],
)
async def test_a_required_call_is_enforced(serve: Serve, template: str, key: str, opener: str) -> None:
    """By a schema of the dialect, over all tools; the prompt opens the call where the dialect has tags."""
    call = json.dumps({"name": "weather", key: {"city": "Rome"}})
    served = await serve(ScriptedEngine(saying(call), template=template))
    (choice,) = (await served.chat(tools=[WEATHER, TIME], tool_choice="required")).json()["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "weather"
    (request,) = served.engine.requests
    schema = json.loads(request.sampling.json_schema or "")
    assert [member["properties"]["name"]["const"] for member in schema["anyOf"]] == ["weather", "time"]
    assert schema["anyOf"][0]["properties"][key] == SCHEMA
    assert served.engine.detokenize(request.prompt).endswith(opener)


async def test_a_named_call_is_enforced(serve: Serve) -> None:
    """The schema has that one function; an unknown name is a 400."""
    served = await serve(ScriptedEngine(saying('{"name": "time", "arguments": {}}')))
    choice = {"type": "function", "function": {"name": "time"}}
    await served.chat(tools=[WEATHER, TIME], tool_choice=choice)
    schema = json.loads(served.engine.requests[0].sampling.json_schema or "")
    assert schema["properties"]["name"] == {"const": "time"}
    choice["function"] = {"name": "nothing"}
    assert (await served.chat(tools=[WEATHER], tool_choice=choice)).status_code == 400


async def test_definitions_of_a_tool_are_found_from_the_root(serve: Serve) -> None:
    """`#/$defs/…` in parameters still points somewhere when they are nested in the call's schema."""
    served = await serve(ScriptedEngine(saying("{}")))
    parameters = {
        "$defs": {"City": {"type": "string"}},
        **SCHEMA,
        "properties": {"city": {"$ref": "#/$defs/City"}},
    }
    tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    await served.chat(tools=[tool], tool_choice="required")
    schema = json.loads(served.engine.requests[0].sampling.json_schema or "")
    assert schema["$defs"] == {"City": {"type": "string"}}
    assert "$defs" not in schema["properties"]["arguments"]


async def test_no_tools_are_offered_when_none_may_be_called(serve: Serve) -> None:
    """`tool_choice: none`: neither told of nor looked for."""
    served = await serve(ScriptedEngine(saying(*HERMES_CALL)))
    (choice,) = (await served.chat(tools=[WEATHER], tool_choice="none")).json()["choices"]
    assert choice["finish_reason"] == "stop"
    assert "<tool_call>" in choice["message"]["content"]
    assert "weather" not in served.engine.detokenize(served.engine.requests[0].prompt)


async def test_earlier_calls_reach_the_template_as_objects(serve: Serve) -> None:
    """Arguments are text at OpenAI and objects in templates."""
    served = await serve(ScriptedEngine(template=HERMES_TEMPLATE))
    call: dict[str, Any] = {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
    }
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny."},
    ]
    await served.post("/v1/chat/completions", {"model": MODEL, "messages": messages, "tools": [WEATHER]})
    prompt = served.engine.detokenize(served.engine.requests[0].prompt)
    assert '"arguments": {"city": "Rome"}' in prompt
    assert '"tool_call_id": "c1"' in prompt


async def test_tools_and_another_constraint_exclude_each_other(serve: Serve) -> None:
    """One completion has one grammar."""
    served = await serve(ScriptedEngine())
    response = await served.chat(tools=[WEATHER], response_format={"type": "json_object"})
    assert response.json()["error"]["param"] == "response_format"
