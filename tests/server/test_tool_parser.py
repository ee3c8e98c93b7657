"""Tool calls are found however the text is cut into deltas."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis_stack.server.choice_parser import ChoiceParser
from genesis_stack.server.pieces import CallArguments, CallStart, Piece, Reasoning, Text
from genesis_stack.server.tool_parser import Dialect, ToolParser

NAMES = ("search", "add")


def merged(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one kind as one."""
    whole: list[Piece] = []
    for piece in pieces:
        match whole[-1] if whole else None, piece:
            case Text(before), Text(text):
                whole[-1] = Text(before + text)
            case Reasoning(before), Reasoning(text):
                whole[-1] = Reasoning(before + text)
            case CallArguments(call, before), CallArguments(same, text) if call == same:
                whole[-1] = CallArguments(call, before + text)
            case _:
                whole.append(piece)
    return whole


def parsed(dialect: Dialect, portions: list[str], *, single: bool = False) -> list[Piece]:
    """What a parser makes of these portions."""
    parser = ToolParser(dialect, NAMES, single=single)
    pieces = [piece for portion in portions for piece in parser.feed(portion)]
    return merged([*pieces, *parser.finish()])


CALL = CallStart(0, "search")

HERMES = {
    "a call alone": (
        '<tool_call>\n{"name": "search", "arguments": {"q": "a}\\"{"}}\n</tool_call>',
        [CALL, CallArguments(0, '{"q": "a}\\"{"}')],
    ),
    "text before and after": (
        'Let me see.\n<tool_call>{"name": "search", "arguments": {}}</tool_call>\nDone.',
        [Text("Let me see."), CALL, CallArguments(0, "{}"), Text("\nDone.")],
    ),
    "two calls": (
        (
            '<tool_call>{"name": "search", "arguments": {}}</tool_call>\n'
            '<tool_call>{"name": "add", "arguments": {"n": [1, {}]}}</tool_call>'
        ),
        [CALL, CallArguments(0, "{}"), CallStart(1, "add"), CallArguments(1, '{"n": [1, {}]}')],
    ),
    "arguments first": (
        '<tool_call>{"arguments": {"q": 1}, "name": "search"}</tool_call>',
        [CALL, CallArguments(0, '{"q": 1}')],
    ),
    "arguments as a string of JSON": (
        '<tool_call>{"name": "search", "arguments": "{\\"q\\": 1}"}</tool_call>',
        [CALL, CallArguments(0, '{"q": 1}')],
    ),
    "no arguments": ('<tool_call>{"name": "search"}</tool_call>', [CALL, CallArguments(0, "{}")]),
    "cut in the arguments": (
        '<tool_call>{"name": "search", "arguments": {"q": "a',
        [CALL, CallArguments(0, '{"q": "a')],
    ),
    "cut before the name": ('<tool_call>{"na', [Text('<tool_call>{"na')]),
    "no call inside": ("<tool_call>sorry</tool_call>", [Text("<tool_call>sorry</tool_call>")]),
    "an opener in an opener": (
        '<tool_call><tool_call>{"name": "search"}</tool_call>',
        [Text("<tool_call>"), CALL, CallArguments(0, "{}")],
    ),
    "almost an opener": ("a < b <tool", [Text("a < b <tool")]),
    "plain text": ("Hello.  \n", [Text("Hello.  \n")]),
}

LLAMA = {
    "a call alone": (
        '{"name": "search", "parameters": {"q": "x"}}',
        [CALL, CallArguments(0, '{"q": "x"}')],
    ),
    "after the python tag": (
        ' <|python_tag|>{"type": "function", "name": "search", "parameters": {}}',
        [CALL, CallArguments(0, "{}")],
    ),
    "two calls": (
        '{"name": "search", "parameters": {}}; {"name": "add", "parameters": {}}',
        [CALL, CallArguments(0, "{}"), CallStart(1, "add"), CallArguments(1, "{}")],
    ),
    "an unknown name is an answer": ('{"name": "Bob", "age": 3}', [Text('{"name": "Bob", "age": 3}')]),
    "other JSON is an answer": ('{"answer": 42}', [Text('{"answer": 42}')]),
    "JSON later on is an answer": ('It is {"name": "search"}', [Text('It is {"name": "search"}')]),
}

CASES = [(Dialect.HERMES, *case) for case in HERMES.values()] + [
    (Dialect.LLAMA, *case) for case in LLAMA.values()
]


@pytest.mark.parametrize(
    ("dialect", "text", "pieces"), CASES, ids=[*HERMES, *(f"llama: {name}" for name in LLAMA)]
)
def test_calls_are_found(dialect: Dialect, text: str, pieces: list[Piece]) -> None:
    """In one portion and character by character alike."""
    assert parsed(dialect, [text]) == pieces
    assert parsed(dialect, list(text)) == pieces


FRAGMENTS = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "<|python_tag|>",
        "<think>",
        "</think>",
        '{"name": "search", "arguments": {"q": "x"}}',
        '{"name": "add", "parameters": ',
        '{"arguments": [1], "name": "search"}',
        "{",
        "}",
        '"',
        "\\",
        "; ",
        "\n",
        "<",
        "Hello",
        "name",
        "é😀",
    ]
)


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text made of what the parsers watch for, and a way to cut it."""
    text = "".join(draw(st.lists(FRAGMENTS, max_size=12)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=10)))
    edges = [0, *cuts, len(text)]
    return text, [text[start:end] for start, end in pairwise(edges)]


@given(cut_texts(), st.sampled_from(Dialect), st.booleans(), st.booleans())
def test_the_cut_does_not_matter(
    cut: tuple[str, list[str]], dialect: Dialect, reasons: bool, single: bool
) -> None:
    """Reasoning and tools together: any portions give the same pieces as the whole."""

    def understood(portions: list[str]) -> list[Piece]:
        parser = ChoiceParser(
            reasoning_opened=False if reasons else None,
            dialect=dialect,
            tool_names=NAMES,
            forced_call=False,
            single_call=single,
        )
        pieces = [piece for portion in portions for piece in parser.feed(portion)]
        return merged([*pieces, *parser.finish()])

    text, portions = cut
    assert understood(portions) == understood([text]) == understood(list(text))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_arguments_arrive_as_they_were_written(value: object) -> None:
    """Any JSON object: quotes, braces and escapes inside strings end nothing early."""
    arguments = json.dumps({"value": value})
    text = f'<tool_call>{{"name": "search", "arguments": {arguments}}}</tool_call>'
    assert parsed(Dialect.HERMES, list(text)) == [CALL, CallArguments(0, arguments)]


def test_arguments_are_streamed() -> None:
    """They leave while they are written, not at the end of the call."""
    parser = ToolParser(Dialect.HERMES, NAMES)
    assert parser.feed('<tool_call>{"name": "search", "arguments": ') == []
    assert parser.feed('{"q": "a') == [CALL, CallArguments(0, '{"q": "a')]
    assert parser.feed("bc") == [CallArguments(0, "bc")]


def test_without_parallel_calls_only_the_first_counts() -> None:
    """`parallel_tool_calls: false`."""
    text = HERMES["two calls"][0]
    assert parsed(Dialect.HERMES, [text], single=True) == [CALL, CallArguments(0, "{}")]


def test_a_forced_call_needs_no_opener() -> None:
    """The prompt ended with it."""
    parser = ToolParser(Dialect.HERMES, NAMES)
    parser.expect_call()
    assert merged(parser.feed('{"name": "add", "arguments": {}}')) == [
        CallStart(0, "add"),
        CallArguments(0, "{}"),
    ]


@pytest.mark.parametrize(
    ("template", "dialect"),
    [
        ("… <tool_call> …", Dialect.HERMES),
        ("… <|python_tag|> …", Dialect.LLAMA),
        ("… Environment: ipython …", Dialect.LLAMA),
        ("{{ messages }}", Dialect.HERMES),
    ],
)
def test_the_template_tells_the_dialect(template: str, dialect: Dialect) -> None:
    """The model writes what its template taught it."""
    assert Dialect.of(template) is dialect
