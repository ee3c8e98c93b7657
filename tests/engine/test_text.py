from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis_stack.engine.text import TextStream

ALPHABET = "ab€"  # few characters, so that stop strings occur and overlap
texts = st.text(ALPHABET, max_size=20)
stop_lists = st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=3)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at `cuts`."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def expected(text: str, stops: list[str]) -> str:
    """`text` before the stop string that is complete first, and of several that end there the longest."""
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    return text[: min(ends)[1]] if ends else text


def fed(stops: list[str], parts: list[bytes]) -> tuple[list[str], bool]:
    """What a stream emits for `parts`, and whether a stop string ended it."""
    stream = TextStream(stops)
    emitted = []
    for part in parts:
        emitted.append(stream.feed(part))
        if stream.stopped:
            break
    return [*emitted, stream.flush()], stream.stopped


@given(texts, stop_lists, st.lists(st.integers(0, 100), max_size=8))
def test_the_text_ends_before_the_first_stop_however_it_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    """Tokens may end inside a character or a stop string: the result is the same."""
    emitted, stopped = fed(stops, pieces(text.encode(), cuts))
    assert "".join(emitted) == expected(text, stops)
    assert stopped == any(stop in text for stop in stops)


@given(texts, stop_lists, st.lists(st.integers(0, 100), max_size=8))
def test_nothing_is_taken_back(text: str, stops: list[str], cuts: list[int]) -> None:
    """What is out at any moment begins the final text, whatever comes next."""
    final = expected(text, stops)
    emitted, _ = fed(stops, pieces(text.encode(), cuts))
    for count in range(len(emitted)):
        assert final.startswith("".join(emitted[:count]))


@given(texts, st.lists(st.integers(0, 100), max_size=8))
def test_without_stops_only_half_a_character_is_held_back(text: str, cuts: list[int]) -> None:
    """Text is handed out as soon as it is certain."""
    stream = TextStream([])
    seen, out = b"", ""
    for part in pieces(text.encode(), cuts):
        seen += part
        out += stream.feed(part)
        assert out == seen.decode("utf-8", "ignore")


@given(st.binary(max_size=24), st.lists(st.integers(0, 100), max_size=8))
def test_bytes_that_are_no_text_become_replacement_characters(data: bytes, cuts: list[int]) -> None:
    """Invalid UTF-8 neither raises nor depends on how it is cut."""
    emitted, _ = fed([], pieces(data, cuts))
    assert "".join(emitted) == data.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("stops", "parts", "text"),
    [
        (["</s>"], [b"one <", b"/s", b"> two"], "one "),
        (["€"], [b"5 \xe2", b"\x82", b"\xac each"], "5 "),
        (["abcX", "bc"], [b"abcX"], "a"),
        (["abcX", "bc"], [b"ab", b"c", b"X"], "a"),
        (["xx"], [b"x", b"y"], "xy"),
    ],
    ids=["across tokens", "inside a character", "two in one token", "two over tokens", "a false start"],
)
def test_stop_strings_are_found(stops: list[str], parts: list[bytes], text: str) -> None:
    """Across tokens, inside characters, and the one that is complete first."""
    assert "".join(fed(stops, parts)[0]) == text


def test_what_was_held_back_comes_out_at_the_end() -> None:
    """A sequence that ends amid a possible stop string, or amid a character, loses nothing."""
    assert "".join(fed(["</s>"], [b"half a stop </"])[0]) == "half a stop </"
    assert "".join(fed(["</s>"], [b"half a character \xe2\x82"])[0]) == "half a character \ufffd"
