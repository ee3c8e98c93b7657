"""The header of a GGUF file, read with bounds on everything.

The format: github.com/ggml-org/ggml, docs/gguf.md. `gguf.GGUFReader` maps the file and makes objects of every
vocabulary entry (seconds for a usual model) and trusts counts and lengths of the file; so this module walks
the header itself, keeps what is small, skips what is long, and takes names and sizes of tensor types from the
`gguf` package. What is accepted here is not yet safe to load: only the digest makes it so.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO, Final

from genesis_stack.errors import ExitCode, GenesisError

MAX_HEADER: Final = 512 * 1024 * 1024
MAX_METADATA: Final = 4096
MAX_TENSORS: Final = 65_536
MAX_KEY: Final = 65_535  # bytes, as the format says
MAX_TENSOR_NAME: Final = 64  # bytes, GGML_MAX_NAME
MAX_DIMENSIONS: Final = 4  # GGML_MAX_DIMS
MAX_KEPT_STRING: Final = 65_536
MAX_KEPT_ARRAY: Final = 4096
MAX_STRINGS: Final = 4_000_000
MAX_ALIGNMENT: Final = 1024 * 1024
_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_DEFAULT_ALIGNMENT: Final = 32


class GgufError(GenesisError):
    """The file is no GGUF that can be used; says where and why."""

    exit_code = ExitCode.CHECKSUM


class ValueType(IntEnum):
    """Types of metadata values, by their number in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


_FORMATS: Final = dict(
    zip((t for t in ValueType if t not in {ValueType.STRING, ValueType.ARRAY}), "BbHhIif?Qqd", strict=True)
)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A value that was checked and not kept: a long string (length in bytes) or array (elements)."""

    kind: ValueType
    length: int


Value = int | float | bool | str | tuple[int, ...] | Skipped


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor's description; `size` in bytes, `elements` is its number of weights."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    elements: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """Everything before the weights."""

    version: int
    metadata: dict[str, Value]
    tensors: tuple[Tensor, ...]


def read_header(descriptor: int, name: str) -> Header:
    """Read and check the header of an open file; `name` is what errors call it.

    Raises:
        GgufError: the file is not a little-endian GGUF version 2 or 3, is cut off, or breaks a bound.
        OSError: the file cannot be read.
    """
    with os.fdopen(os.dup(descriptor), "rb", buffering=1024 * 1024) as file:
        file.seek(0)
        reader = _Reader(file, os.fstat(descriptor).st_size, name)
        return _header(reader)


class _Reader:
    """A file that ends where it ends: every read is checked against what is left."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self.file = file
        self.size = size
        self.end = min(size, MAX_HEADER)
        self.name = name
        self.position = 0

    def fail(self, what: str) -> GgufError:
        return GgufError(
            f"{self.name}: no usable GGUF: {what} (byte {self.position})",
            hint="the file is damaged, incomplete or of another format; fetch it again",
        )

    def take(self, count: int) -> bytes:
        if count > self.end - self.position:
            raise self.fail("the header goes beyond the end of the file")
        data = self.file.read(count)
        if len(data) != count:
            raise self.fail("the file became shorter while it was read")
        self.position += count
        return data

    def skip(self, count: int) -> None:
        if count > self.end - self.position:
            raise self.fail("the header goes beyond the end of the file")
        self.file.seek(count, os.SEEK_CUR)
        self.position += count

    def number(self, code: str) -> int:
        (value,) = struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))
        return int(value)

    def count(self, what: str, most: int) -> int:
        value = self.number("Q")
        if value > most:
            raise self.fail(f"{value} {what}, more than {most}")
        return value

    def text(self, what: str, most: int) -> str:
        data = self.take(self.count(f"bytes in {what}", most))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self.fail(f"{what} is no UTF-8") from None

    def skip_string(self) -> None:
        """Like `skip(number("Q"))`, in half the time: vocabularies have hundreds of thousands."""
        data = self.file.read(8)
        length = int.from_bytes(data, "little")
        self.position += 8
        if len(data) != 8 or length > self.end - self.position:  # noqa: PLR2004 -- bytes of a length
            raise self.fail("a string goes beyond the end of the file")
        self.file.read(length) if length < MAX_KEPT_STRING else self.file.seek(length, os.SEEK_CUR)
        self.position += length

    def kind(self) -> ValueType:
        number = self.number("I")
        try:
            return ValueType(number)
        except ValueError:
            raise self.fail(f"unknown value type {number}") from None


def _header(reader: _Reader) -> Header:
    if reader.take(4) != _MAGIC:
        raise reader.fail("it does not begin with GGUF")
    version = reader.number("I")
    if version not in _VERSIONS:
        raise reader.fail(f"version {version}; only little-endian versions 2 and 3 are read")
    tensor_count = reader.count("tensors", MAX_TENSORS)
    metadata_count = reader.count("metadata entries", MAX_METADATA)
    metadata: dict[str, Value] = {}
    for _ in range(metadata_count):
        key = reader.text("a metadata key", MAX_KEY)
        if key in metadata:
            raise reader.fail(f"{ascii(key)[:80]} is there twice")
        metadata[key] = _value(reader, reader.kind())
    tensors = _tensors(reader, tensor_count, _alignment(reader, metadata))
    return Header(version, metadata, tensors)


def _value(reader: _Reader, kind: ValueType) -> Value:
    match kind:
        case ValueType.STRING:
            return _string(reader)
        case ValueType.ARRAY:
            return _array(reader)
        case _:
            code = _FORMATS[kind]
            value: int | float | bool
            (value,) = struct.unpack(f"<{code}", reader.take(struct.calcsize(f"<{code}")))
            return value


def _string(reader: _Reader) -> str | Skipped:
    length = reader.count("bytes in a string", MAX_HEADER)
    if length > MAX_KEPT_STRING:
        reader.skip(length)
        return Skipped(ValueType.STRING, length)
    return reader.take(length).decode(errors="replace")


def _array(reader: _Reader) -> tuple[int, ...] | Skipped:
    kind = reader.kind()
    length = reader.number("Q")
    match kind:
        case ValueType.ARRAY:
            raise reader.fail("an array of arrays")
        case ValueType.STRING:
            if length > MAX_STRINGS:
                raise reader.fail(f"an array of {length} strings, more than {MAX_STRINGS}")
            for _ in range(length):
                reader.skip_string()
            return Skipped(kind, length)
    code = _FORMATS[kind]
    size = length * struct.calcsize(f"<{code}")
    if length > MAX_KEPT_ARRAY or kind in {ValueType.FLOAT32, ValueType.FLOAT64}:
        reader.skip(size)
        return Skipped(kind, length)
    return tuple(int(value) for value in struct.unpack(f"<{length}{code}", reader.take(size)))


def _alignment(reader: _Reader, metadata: dict[str, Value]) -> int:
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(alignment) is not int or not 0 < alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise reader.fail("general.alignment is no power of two")
    return alignment


def _tensors(reader: _Reader, count: int, alignment: int) -> tuple[Tensor, ...]:
    """Read the descriptions and check that the weights lie one after the other inside the file."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    blocks = {
        int(kind): (GGMLQuantizationType(kind).name, *sizes) for kind, sizes in GGML_QUANT_SIZES.items()
    }
    tensors: dict[str, Tensor] = {}
    expected = 0
    for _ in range(count):
        tensor, offset = _tensor(reader, blocks)
        if tensor.name in tensors:
            raise reader.fail(f"tensor {tensor.name!a} is there twice")
        if offset != expected:
            raise reader.fail(f"tensor {tensor.name!a} is not where the one before it ends")
        expected += -(-tensor.size // alignment) * alignment
        tensors[tensor.name] = tensor
    last = list(tensors.values())[-1].size if tensors else 0
    start = -(-reader.position // alignment) * alignment
    needed = start + expected - (-(-last // alignment) * alignment - last)
    if tensors and needed > reader.size:
        raise reader.fail(f"the weights need {needed} bytes, the file has {reader.size}")
    return tuple(tensors.values())


def _tensor(reader: _Reader, blocks: dict[int, tuple[str, int, int]]) -> tuple[Tensor, int]:
    name = reader.text("a tensor name", MAX_TENSOR_NAME)
    dimensions = reader.number("I")
    if dimensions > MAX_DIMENSIONS:
        raise reader.fail(f"tensor {name!a} has {dimensions} dimensions")
    shape = tuple(reader.count("elements in a dimension", 2**40) for _ in range(dimensions))
    elements = 1
    for length in shape:
        elements *= length
    number = reader.number("I")
    if number not in blocks:
        raise reader.fail(f"tensor {name!a} has the unknown type {number}")
    type_name, block, block_bytes = blocks[number]
    if elements == 0 or elements > 2**48 or (shape and shape[0] % block):
        raise reader.fail(f"tensor {name!a} has a shape that its type {type_name} cannot have")
    size = elements // block * block_bytes
    return Tensor(name, shape, type_name, elements, size), reader.number("Q")
