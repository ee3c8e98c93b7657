from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis_stack.client import ConfigurationError, Message
from genesis_stack.client.messages import has_images, listed, prefix_of

URI = "data:image/png;base64,AAAA"
ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


def user(content: Any) -> dict[str, Any]:
    """A message in OpenAI's shape."""
    return {"role": "user", "content": content}


def image(uri: str) -> dict[str, Any]:
    """An image part."""
    return {"type": "image_url", "image_url": {"url": uri}}


def test_conversations_that_begin_alike_have_one_prefix() -> None:
    """What comes after the first pages does not count; what comes before does."""
    system = {"role": "system", "content": "rules " * 500}
    assert prefix_of([system, user("a")]) == prefix_of([system, user("b")])
    assert prefix_of([user("a")]) != prefix_of([user("b")])
    assert prefix_of([user("a")]) != prefix_of([{"role": "assistant", "content": "a"}])
    assert prefix_of([user([image(URI + "BB")])]) != prefix_of([user([image(URI + "CC")])])


def test_images_are_seen_in_either_shape() -> None:
    """Words about images are none."""
    assert has_images([Message.user("?", URI)])
    assert has_images([user("?"), user([image(URI)])])
    assert not has_images(
        [Message.user("image_url"), user("image_url"), user([{"type": "text", "text": URI}])]
    )


@settings(max_examples=40, deadline=None)
@given(content=ANYTHING)
def test_any_content_of_others_has_a_prefix_and_is_not_judged_here(content: Any) -> None:
    """Strange messages are the server's to refuse."""
    assert len(prefix_of([user(content)])) == 16
    assert isinstance(has_images([user(content)]), bool)


def test_an_empty_conversation_is_an_error() -> None:
    """And a text is a question."""
    with pytest.raises(ConfigurationError):
        listed([])
    assert listed("Hi.") == [Message.user("Hi.")]
