"""A shape so small that its file is written and run in a moment."""

from __future__ import annotations

from genesis_stack.capacity.synthetic.shape import Shape, SpecialTokens

TINY = Shape(
    name="tiny",
    architecture="llama",
    layers=8,
    embedding=256,
    feed_forward=256,
    heads=4,
    kv_heads=2,
    head_size=64,
    vocabulary=20_000,
    context=2048,
    rope_base=10_000.0,
    norm_epsilon=1e-5,
    special=SpecialTokens(first=19_990, names=("<s>", "</s>"), bos="<s>", eos="</s>", add_bos=True),
    chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
)
