"""Templates are rendered within bounds, and clients cannot write control tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from scripted_engine import CONTROL_TOKENS, ScriptedEngine

from genesis_stack.engine import template_process
from genesis_stack.engine.chat_template import ChatTemplate
from genesis_stack.engine.template_process import TemplateError, TemplateProcess

ENGINE = ScriptedEngine()
USER = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def process() -> AsyncGenerator[TemplateProcess]:
    """A process of one's own."""
    process = TemplateProcess()
    yield process
    await process.close()


def template_of(process: TemplateProcess, source: str | None) -> ChatTemplate:
    """The template of a model whose file has this source."""
    return ChatTemplate(replace(ENGINE.info, chat_template=source), process)


async def test_a_model_without_template_speaks_chatml(process: TemplateProcess) -> None:
    """The most common form."""
    rendered = await template_of(process, None).render(USER)
    assert rendered.text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


async def test_templates_have_what_transformers_gives_them(process: TemplateProcess) -> None:
    """Its globals, its tojson, its trimming, loop controls and the generation tag."""
    source = (
        "{{ strftime_now('%Y') | length }} {{ {'a': '<é>'} | tojson }}\n"
        "{% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}\n"
        "{% generation %}{{ eos_token }}{% endgeneration %}{{ x is defined }}"
    )
    assert (await template_of(process, source).render(USER)).text == '4 {"a": "<é>"}\n1<|im_end|>False'


async def test_a_template_may_refuse_the_messages(process: TemplateProcess) -> None:
    """Its own words reach the client."""
    source = "{{ raise_exception('Roles must alternate.') }}"
    with pytest.raises(TemplateError, match=r"Roles must alternate\."):
        await template_of(process, source).render(USER)


HOSTILE = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a power": "{{ messages | length + 10 ** (10 ** messages | length * 10 ** 9) }}",
    "doubling": (
        "{% set ns = namespace(x='x' * 1000) %}"
        "{% for i in range(50) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
    ),
    "memory": "{{ ('x' * 2000000000) | length }}",
    "a long output": "{% for i in range(9999) %}{{ 'x' * 99999 }}{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "attributes": "{{ messages.__class__.__mro__[-1].__subclasses__() }}",
    "a syntax error": "{% if %}",
    "a long source": "x" * 300_000,
    "a wide format": "{{ '%999999999999d' % 1 }}",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_template_harms_nobody(
    process: TemplateProcess, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused or killed within its time; the loop goes on meanwhile, and so does the next template."""
    monkeypatch.setattr(template_process, "RENDER_TIMEOUT_S", 1.0)
    template = template_of(process, source)
    ticks, started = 0, time.monotonic()

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(TemplateError):
        await template.render(USER)
    ticking.cancel()
    assert ticks >= 10 * int(time.monotonic() - started)
    monkeypatch.undo()
    assert (await template_of(process, None).render(USER)).text.startswith("<|im_start|>")


@pytest.mark.parametrize("token", CONTROL_TOKENS)
@pytest.mark.parametrize(
    "source",
    [None, "{{ messages | tojson }}", "{% for m in messages %}{{ m.content | trim | upper }}{% endfor %}"],
)
async def test_a_control_token_in_a_message_stays_text(
    process: TemplateProcess, token: str, source: str | None
) -> None:
    """A user who writes the end of a turn ends none."""
    template = template_of(process, source)
    content = f"hi {token} there"
    rendered = await template.render([{"role": "user", "content": content}])
    tokens = rendered.encoded(ENGINE.tokenize, "").tokens
    harmless = await template.render([{"role": "user", "content": "hi there"}])
    plain = harmless.encoded(ENGINE.tokenize, "").tokens
    assert [t for t in tokens if t >= 256] == [t for t in plain if t >= 256]
    if source is None:
        assert content in ENGINE.detokenize(tokens)


async def test_tools_and_names_are_shielded_too(process: TemplateProcess) -> None:
    """Wherever a client's text reaches the prompt."""
    template = template_of(process, "{{ tools | tojson }}{{ messages | tojson }}{{ extra }}")
    rendered = await template.render(
        [{"role": "user", "name": "<|im_end|>", "content": "x"}],
        tools=[{"function": {"description": "<|im_end|>", "parameters": {"<|im_end|>": 1}}}],
        arguments={"extra": "<|im_end|>"},
    )
    tokens = rendered.encoded(ENGINE.tokenize, "").tokens
    assert all(token < 256 for token in tokens)
    assert ENGINE.detokenize(tokens).count("<|im_end|>") == 4


async def test_the_first_token_is_not_doubled(process: TemplateProcess) -> None:
    """A template that writes the beginning of the sequence gets no second one."""
    asked = []

    def tokenize(text: str, *, add_special: bool, parse_special: bool) -> list[int]:  # noqa: ARG001
        asked.append((add_special, parse_special))
        return []

    rendered = await template_of(process, "{{ bos_token }}x").render(USER)
    rendered.encoded(tokenize, "")
    replace(rendered, text="<s>x").encoded(tokenize, "<s>")
    assert asked == [(True, True), (False, True)]


async def test_the_fallback_knows_only_roles_and_contents(process: TemplateProcess) -> None:
    """Of tools it says nothing, so that these are taught in words."""
    template = template_of(process, None)
    told = await template.render(USER, tools=[{"type": "function", "function": {"name": "weather"}}])
    assert told.text == (await template.render(USER)).text
