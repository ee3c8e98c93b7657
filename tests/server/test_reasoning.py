"""Thinking is told apart from the answer."""

from __future__ import annotations

import pytest
from scripted_engine import ScriptedEngine, saying
from serving import Serve, events

from genesis_stack.server.pieces import Reasoning, Text
from genesis_stack.server.reasoning import ReasoningSplitter

CASES = {
    "thought and answer": ("<think>\nHm.\n</think>\n\nYes.", False, "Hm.", "Yes."),
    "no thought": ("Yes.", False, "", "Yes."),
    "an empty thought": ("<think>\n\n</think>\n\nYes.", False, "", "Yes."),
    "opened by the prompt": ("Hm.\n</think>\nYes.", True, "Hm.", "Yes."),
    "cut in thought": ("<think>Hm. </th", False, "Hm. </th", ""),
    "a tag in the answer": ("Use <think>.", False, "", "Use <think>."),
    "space before": (" \n<think>a</think>b", False, "a", "b"),
    "almost a tag": ("<thin", False, "", "<thin"),
    "only space": (" \n", False, "", " \n"),
}


@pytest.mark.parametrize(("text", "opened", "thought", "answer"), CASES.values(), ids=CASES)
def test_the_thought_is_split_off(text: str, opened: bool, thought: str, answer: str) -> None:
    """In one portion and character by character alike."""
    for portions in ([text], list(text)):
        splitter = ReasoningSplitter(opened=opened)
        pieces = [piece for portion in portions for piece in splitter.feed(portion)] + splitter.finish()
        assert "".join(piece.text for piece in pieces if isinstance(piece, Reasoning)) == thought
        assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == answer


THINKER = "{% for m in messages %}{{ m.content }}{% endfor %}{# <think></think> #}"


async def test_reasoning_has_a_field_of_its_own(serve: Serve) -> None:
    """Whole and streamed."""
    served = await serve(ScriptedEngine(saying("<think>", "Hm", ".</th", "ink>Yes."), template=THINKER))
    message = (await served.chat()).json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "Yes.")
    deltas = [chunk["choices"][0]["delta"] for chunk in events(await served.chat(stream=True))]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hm."
    assert "".join(delta.get("content") or "" for delta in deltas) == "Yes."


async def test_a_constrained_answer_does_not_begin_in_thought(serve: Serve) -> None:
    """Where the prompt opens the thought, a schema would constrain it: the prompt closes it again."""
    served = await serve(ScriptedEngine(saying("{}"), template=THINKER + "<think>\n"))
    answer = await served.chat(response_format={"type": "json_object"})
    assert answer.json()["choices"][0]["message"]["content"] == "{}"
    prompt = served.engine.detokenize(served.engine.requests[0].prompt)
    assert prompt.endswith("<think>\n</think>\n\n")
