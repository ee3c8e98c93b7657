"""Loaded weights and their vocabulary: what stays the same whatever is being decoded."""

from __future__ import annotations

import ctypes
import logging
import resource
from array import array
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from genesis_stack.engine.bindings import lib
from genesis_stack.engine.interface import EngineError, Token

_log = logging.getLogger("genesis.engine")

_ATTR_CONTROL = 1 << 3
_ATTR_USER_DEFINED = 1 << 4


class Model:
    """One GGUF in memory. Tokenizing is thread-safe; loading and freeing are the owner's to order.

    Args:
        path: the GGUF file.
        mlock: pin the weights, if RLIMIT_MEMLOCK allows it.

    Raises:
        EngineError: llama.cpp cannot load the file.
    """

    def __init__(self, path: str, *, mlock: bool) -> None:
        params = lib.llama_model_default_params()
        self.mlocked = mlock and _may_lock(path)
        params.load_mode = lib.LLAMA_LOAD_MODE_MMAP_MLOCK if self.mlocked else lib.LLAMA_LOAD_MODE_MMAP
        self._pointer: Any = lib.llama_model_load_from_file(path.encode(), params)
        if not self._pointer:
            raise EngineError(f"llama.cpp cannot load {path}; `genesis-stack models verify` checks the file")
        self.vocab: Any = lib.llama_model_get_vocab(self._pointer)
        self.n_vocab: int = lib.llama_vocab_n_tokens(self.vocab)
        self._pieces: dict[Token, bytes] = {}

    @property
    def pointer(self) -> Any:
        """`llama_model *`."""
        return self._pointer

    def close(self) -> None:
        """Free the weights; contexts made from them must be gone."""
        if self._pointer:
            lib.llama_model_free(self._pointer)
            self._pointer = None

    # What the file says of itself

    @cached_property
    def description(self) -> str:
        """For example `llama 8B Q4_K - Medium`."""
        buffer = ctypes.create_string_buffer(256)
        lib.llama_model_desc(self._pointer, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    def metadata(self, key: str) -> str | None:
        """A scalar of the GGUF's metadata as text."""
        buffer = ctypes.create_string_buffer(1024)
        length = lib.llama_model_meta_val_str(self._pointer, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length >= 0 else None

    @cached_property
    def chat_template(self) -> str | None:
        """The Jinja source of `tokenizer.chat_template`."""
        return self.template(None)

    def template(self, name: str | None) -> str | None:
        """The source of `tokenizer.chat_template.NAME`."""
        source = lib.llama_model_chat_template(self._pointer, None if name is None else name.encode())
        return source.decode("utf-8", "replace") if source else None

    @cached_property
    def shares_prefixes(self) -> bool:
        """Whether part of a sequence may be copied: recurrent state has no cells to share."""
        return not (lib.llama_model_is_recurrent(self._pointer) or lib.llama_model_is_hybrid(self._pointer))

    # Vocabulary

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> array[int]:
        """Token ids of `text`; lone surrogates become U+FFFD."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            tokens = (ctypes.c_int32 * room)()
            count = lib.llama_tokenize(self.vocab, data, len(data), tokens, room, add_special, parse_special)
            if count >= 0:
                result = array("i")
                result.frombytes(memoryview(tokens).cast("B")[: 4 * count])
                return result
            room = -count

    def piece(self, token: Token) -> bytes:
        """Bytes of one generated token; control tokens are silent."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._read_piece(token, special=False)
        return piece

    def detokenize(self, tokens: Sequence[Token]) -> str:
        """Text of `tokens`, control tokens included."""
        return b"".join(self._read_piece(token, special=True) for token in tokens).decode("utf-8", "replace")

    def _read_piece(self, token: Token, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        length = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[: max(length, 0)]

    def ends_generation(self, token: Token) -> bool:
        """Whether the model says with this token that it is done."""
        return bool(lib.llama_vocab_is_eog(self.vocab, token))

    @cached_property
    def control_tokens(self) -> frozenset[str]:
        """Texts that `parse_special` would read as control tokens."""
        special = _ATTR_CONTROL | _ATTR_USER_DEFINED
        return frozenset(
            lib.llama_vocab_get_text(self.vocab, t).decode("utf-8", "replace")
            for t in range(self.n_vocab)
            if lib.llama_vocab_get_attr(self.vocab, t) & special
        )

    def special_text(self, token: Token) -> str:
        """Text of BOS or EOS as a chat template wants it; empty where the model has none."""
        return "" if token < 0 else self._read_piece(token, special=True).decode("utf-8", "replace")


def _may_lock(path: str) -> bool:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    size = Path(path).stat().st_size
    if soft != resource.RLIM_INFINITY and soft < size:
        _log.warning(
            "mlock was asked for, but RLIMIT_MEMLOCK is %d bytes and the weights have %d: not locked",
            soft,
            size,
        )
        return False
    return True
