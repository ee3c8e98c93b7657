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


def entry(kind: int, value: bytes = b"") -> bytes:
    """A file with one metadata entry."""
    return header(text(b"k") + struct.pack("<I", kind) + value, count=1)


def of_tensor(name: bytes = b"t", shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0) -> bytes:
    """A file with one tensor."""
    return header(tensor(name, shape, kind, offset) + bytes(999), tensors=1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "beyond the end"),
        (b"PK\x03\x04" + bytes(100), "does not begin with GGUF"),
        (header(version=1), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "little-endian"),
        (header(count=2**63), "metadata entries"),
        (header(tensors=2**63), "tensors, more than"),
        (header(struct.pack("<Q", 2**62), count=1), "bytes in a metadata key"),
        (entry(99), "unknown value type 99"),
        (entry(8, struct.pack("<Q", 2**62)), "bytes in a string"),
        (entry(9, struct.pack("<IQ", 4, 2**62)), "beyond the end"),
        (entry(9, struct.pack("<IQ", 8, 2**62)), "strings, more than"),
        (entry(9, struct.pack("<IQ", 8, 3_999_999) + bytes(64)), "beyond the end"),
        (entry(9, struct.pack("<IQ", 9, 1)), "array of arrays"),
        (header((text(b"k") + struct.pack("<IB", 0, 1)) * 2, count=2), "there twice"),
        (header(text(b"\xff\xfe") + struct.pack("<IB", 0, 1), count=1), "no UTF-8"),
        (header(text(b"general.alignment") + struct.pack("<II", 4, 0), count=1), "alignment"),
        (of_tensor(shape=(2**40, 2**40)), "a shape"),
        (of_tensor(shape=(32,) * 5), "5 dimensions"),
        (of_tensor(shape=(0,)), "a shape"),
        (of_tensor(shape=(33,), kind=12), "a shape"),
        (of_tensor(shape=(2**41,)), "elements in a dimension"),
        (of_tensor(kind=4711), "unknown type 4711"),
        (of_tensor(name=b"t" * 65), "bytes in a tensor name"),
        (of_tensor(offset=2**60), "not where"),
        (of_tensor(shape=(2**30,)), "the weights need"),
        (header(tensor(b"t", (8,), 0, 0) + tensor(b"t", (8,), 0, 32) + bytes(99), tensors=2), "there twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_headers_are_refused_for_what_is_wrong(content: bytes, reason: str) -> None:
    """Each claim is held against a bound before anything is allocated or read."""
    with pytest.raises(GgufError, match=reason) as caught:
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
