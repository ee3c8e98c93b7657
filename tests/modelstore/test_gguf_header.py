from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genesis_stack.modelstore.facts import Facts, read_facts
from genesis_stack.modelstore.gguf_header import GgufError

HEADER = 16_384
"""Bytes at the beginning of the tiny model that hold all of its header."""


def facts(content: bytes) -> Facts:
    """Facts of a file with this content."""
    descriptor = os.memfd_create("gguf")
    try:
        os.write(descriptor, content)
        return read_facts(descriptor, "file")
    finally:
        os.close(descriptor)


def outcome(content: bytes) -> str:
    """What reading comes to; anything else than these two is a bug and goes through."""
    try:
        facts(content)
    except GgufError:
        return "refused"
    return "read"


def header(kv: bytes = b"", *, tensors: int = 0, count: int = 0, version: int = 3) -> bytes:
    """A file that begins right."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, count) + kv


def text(value: bytes) -> bytes:
    """A GGUF string."""
    return struct.pack("<Q", len(value)) + value


def tensor(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    """A tensor description."""
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def test_every_truncation_is_refused(tiny_gguf: bytes) -> None:
    """A download that ended early never passes for a model."""
    cuts = [*range(600), *range(600, HEADER, 37), len(tiny_gguf) - 1]
    assert {outcome(tiny_gguf[:cut]) for cut in cuts} == {"refused"}


def test_mutated_headers_give_facts_or_a_clear_error(tiny_gguf: bytes) -> None:
    """Five thousand headers with random bytes in random places: never a crash, a hang or another error."""
    dice = random.Random(5)
    start, rest = tiny_gguf[:HEADER], bytes(64)
    seen = set()
    for _ in range(5000):
        mutant = bytearray(start)
        for _ in range(dice.choice((1, 1, 2, 8))):
            place = dice.randrange(dice.choice((64, 1024, HEADER)))
            mutant[place] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        seen.add(outcome(bytes(mutant) + rest))
    assert "refused" in seen


def test_mutated_headers_of_whole_files_give_facts_or_a_clear_error(tiny_gguf: bytes) -> None:
    """With the weights in place, some mutants are read; their numbers stay within bounds."""
    dice = random.Random(6)
    seen = set()
    mutant = bytearray(tiny_gguf)
    for _ in range(150):
        place = dice.randrange(1024)
        before, mutant[place] = mutant[place], dice.randrange(256)
        seen.add(outcome(bytes(mutant)))
        mutant[place] = before
    assert seen == {"refused", "read"}


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_any_bytes_after_the_magic_give_facts_or_a_clear_error(kv: bytes, tensors: int, count: int) -> None:
    """Counts and lengths are the file's claims, not sizes to allocate."""
    outcome(b"GGUF" + struct.pack("<IQQ", 3, tensors, count) + kv)
    outcome(header(kv, tensors=tensors % 3, count=count % 9))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04" + bytes(100), id="a zip"),
        pytest.param(header(version=1), id="version 1"),
        pytest.param(b"GGUF" + struct.pack(">IQQ", 3, 0, 0), id="big-endian"),
        pytest.param(header(count=2**63), id="a count of entries"),
        pytest.param(header(tensors=2**63), id="a count of tensors"),
        pytest.param(header(struct.pack("<Q", 2**62), count=1), id="a key's length"),
        pytest.param(header(text(b"k") + struct.pack("<I", 99), count=1), id="an unknown type"),
        pytest.param(header(text(b"k") + struct.pack("<IQ", 8, 2**62), count=1), id="a string's length"),
        pytest.param(header(text(b"k") + struct.pack("<IIQ", 9, 4, 2**62), count=1), id="an array's length"),
        pytest.param(header(text(b"k") + struct.pack("<IIQ", 9, 8, 2**62), count=1), id="a count of strings"),
        pytest.param(
            header(text(b"k") + struct.pack("<IIQ", 9, 8, 3_999_999) + bytes(64), count=1), id="few strings"
        ),
        pytest.param(header(text(b"k") + struct.pack("<IIQ", 9, 9, 1), count=1), id="an array of arrays"),
        pytest.param(header((text(b"k") + struct.pack("<IB", 0, 1)) * 2, count=2), id="a key twice"),
        pytest.param(header(text(b"\xff\xfe") + struct.pack("<IB", 0, 1), count=1), id="a key in no UTF-8"),
        pytest.param(
            header(text(b"general.alignment") + struct.pack("<II", 4, 0), count=1), id="alignment zero"
        ),
        pytest.param(header(tensor(b"t", (2**40, 2**40), 0, 0), tensors=1), id="a shape"),
        pytest.param(header(tensor(b"t", (32,) * 5, 0, 0), tensors=1), id="five dimensions"),
        pytest.param(header(tensor(b"t", (0,), 0, 0), tensors=1), id="an empty tensor"),
        pytest.param(header(tensor(b"t", (33,), 12, 0), tensors=1), id="a row that is no whole block"),
        pytest.param(header(tensor(b"t", (32,), 4711, 0), tensors=1), id="a tensor type"),
        pytest.param(header(tensor(b"t" * 65, (32,), 0, 0), tensors=1), id="a tensor name"),
        pytest.param(header(tensor(b"t", (32,), 0, 2**60) + bytes(999), tensors=1), id="an offset"),
        pytest.param(
            header(tensor(b"t", (2**30,), 0, 0) + bytes(999), tensors=1), id="weights beyond the end"
        ),
    ],
)
def test_hostile_headers_are_refused(content: bytes) -> None:
    """Each claim is held against a bound before anything is allocated or read."""
    with pytest.raises(GgufError) as caught:
        facts(content)
    assert caught.value.hint


def test_a_name_cannot_drive_the_terminal(tiny_gguf: bytes) -> None:
    """Control characters of a file never reach the screen."""
    assert facts(tiny_gguf.replace(b"Tiny", b"\x1b[2J")).name == "?[2J"


def test_a_count_that_is_a_text_is_refused(tiny_gguf: bytes) -> None:
    """A wrong type is no crash further down."""
    wrong = tiny_gguf.replace(b"llama.block_count", b"llama.block_comet")
    with pytest.raises(GgufError, match=r"llama\.block_count"):
        facts(wrong)


def test_the_tiny_model_says_what_was_written(tiny_gguf: bytes) -> None:
    """Facts are those that the reference writer was given."""
    assert facts(tiny_gguf) == Facts(
        architecture="llama",
        name="Tiny",
        license="apache-2.0",
        quantization="F32",
        parameters=16_300 * 64,
        tensor_bytes=16_300 * 64 * 4,
        repackable_bytes=0,
        layers=2,
        embedding=64,
        feed_forward=128,
        heads=4,
        kv_heads=(2, 1),
        head_dim_k=16,
        head_dim_v=16,
        context_train=256,
        vocab=300,
        chat_template=True,
        sliding_window=0,
        experts=0,
        recurrent=False,
        hybrid=False,
        recurrent_bytes=0,
    )


@pytest.mark.model
def test_the_real_model_is_known_and_agrees_with_the_reference_reader(smollm2: Path) -> None:
    """Our reader, the committed shape and gguf.GGUFReader tell the same of SmolLM2."""
    import gguf

    from genesis_stack.modelstore.known import KNOWN
    from genesis_stack.modelstore.modelfile import examine

    _, digest, found = examine(smollm2)
    reference = gguf.GGUFReader(smollm2)
    assert found == KNOWN[digest]
    assert found.layers == reference.fields["llama.block_count"].contents()
    assert found.vocab == len(reference.fields["tokenizer.ggml.tokens"].data)
    assert found.tensor_bytes == sum(int(tensor.n_bytes) for tensor in reference.tensors)
    assert found.parameters == sum(int(tensor.n_elements) for tensor in reference.tensors)
