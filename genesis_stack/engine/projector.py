"""The image encoder of a vision model (mmproj), through llama.cpp's libmtmd.

What libmtmd documents as thread-safe, preparing an image, may run on any thread; encoding is for one thread
at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

from genesis_stack.engine import bindings
from genesis_stack.engine.bindings import lib
from genesis_stack.engine.images import stand_ins
from genesis_stack.engine.interface import (
    EngineError,
    Image,
    ImagePrompt,
    ImageSpan,
    InvalidRequestError,
    Token,
)
from genesis_stack.engine.model import Model

_log = logging.getLogger("genesis.engine")

_TEXT: Final = 0  # MTMD_INPUT_CHUNK_TYPE_TEXT
_CLOSING_S: Final = 5.0
_MROPE_SECTIONS: Final = 4


class Chunk:
    """An image as libmtmd prepared it: scaled pixels until it is encoded, and its grid of positions."""

    __slots__ = ("_mtmd", "pointer")

    def __init__(self, mtmd: Any, pointer: Any) -> None:
        self._mtmd = mtmd
        self.pointer = pointer

    def forget_pixels(self) -> None:
        """Keep the grid alone."""
        pixels, self.pointer = self.pointer, self._mtmd.mtmd_input_chunk_get_placeholder(self.pointer)
        self._mtmd.mtmd_input_chunk_free(pixels)

    def __del__(self) -> None:
        """Free it with the last request that has it."""
        self._mtmd.mtmd_input_chunk_free(self.pointer)


class Projector:
    """One mmproj file in memory.

    Args:
        path: the GGUF file.
        model: the text model that it was made for; it must outlive the projector.
        threads: encoding threads.
        max_tokens: most cells of one image; larger ones are scaled down where the encoder can.

    Raises:
        EngineError: libmtmd cannot load the file, or it reads no images.
    """

    def __init__(self, path: str, model: Model, *, threads: int, max_tokens: int) -> None:
        from llama_cpp import mtmd_cpp

        self._mtmd: Any = mtmd_cpp
        if bindings.log_callback is not None:
            mtmd_cpp.mtmd_helper_log_set(bindings.log_callback, None)
        params = mtmd_cpp.mtmd_context_params_default()
        params.use_gpu = params.print_timings = params.warmup = False
        params.n_threads = threads
        params.image_max_tokens = max_tokens
        self._pointer: Any = mtmd_cpp.mtmd_init_from_file(path.encode(), model.pointer, params)
        if not self._pointer:
            raise EngineError(f"llama.cpp cannot load the projector {path} for {model.description}")
        if not mtmd_cpp.mtmd_support_vision(self._pointer):
            raise EngineError(f"the projector {path} reads no images")
        self._marker: bytes = mtmd_cpp.mtmd_default_marker()
        self._users = 0
        self._idle = threading.Condition()
        self.width: int = lib.llama_model_n_embd_inp(model.pointer)
        self.positions_per_row = _MROPE_SECTIONS if mtmd_cpp.mtmd_decode_use_mrope(self._pointer) else 1

    def close(self) -> bool:
        """Free it, unless a call that runs does not end within seconds; whether it is freed."""
        with self._idle:
            pointer, self._pointer = self._pointer, None
            if not self._idle.wait_for(lambda: self._users == 0, _CLOSING_S):
                return False
        if pointer:
            self._mtmd.mtmd_free(pointer)
        return True

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[Any]:
        with self._idle:
            if not self._pointer:
                raise EngineError("the engine has stopped")
            self._users += 1
            pointer = self._pointer
        try:
            yield pointer
        finally:
            with self._idle:
                self._users -= 1
                self._idle.notify_all()

    def prepare(self, image: Image) -> ImagePrompt:
        """Scale an image and say how it is written into a prompt.

        Raises:
            InvalidRequestError: libmtmd cannot prepare it.
        """
        mtmd = self._mtmd
        digest = hashlib.sha256(b"%d %d " % (image.width, image.height) + image.rgb).digest()
        pixels = (ctypes.c_uint8 * len(image.rgb)).from_buffer_copy(image.rgb)
        bitmap = mtmd.mtmd_bitmap_init(image.width, image.height, pixels)
        chunks = mtmd.mtmd_input_chunks_init()
        text = mtmd.mtmd_input_text(self._marker, len(self._marker), add_special=False, parse_special=True)
        try:
            with self._in_use() as pointer:
                bitmaps = (ctypes.c_void_p * 1)(bitmap)
                if mtmd.mtmd_tokenize(pointer, chunks, ctypes.byref(text), bitmaps, 1):
                    raise InvalidRequestError("The image cannot be read by this model.", param="messages")
                return self._prompt(pointer, chunks, digest)
        finally:
            mtmd.mtmd_input_chunks_free(chunks)
            mtmd.mtmd_bitmap_free(bitmap)

    def _prompt(self, pointer: Any, chunks: Any, digest: bytes) -> ImagePrompt:
        mtmd = self._mtmd
        tokens: list[Token] = []
        spans: list[ImageSpan] = []
        for number in range(mtmd.mtmd_input_chunks_size(chunks)):
            chunk = mtmd.mtmd_input_chunks_get(chunks, number)
            if mtmd.mtmd_input_chunk_get_type(chunk) == _TEXT:
                count = ctypes.c_size_t()
                text = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
                tokens += text[: count.value]
                continue
            cells = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
            span = ImageSpan(
                start=len(tokens),
                cells=cells,
                positions=mtmd.mtmd_input_chunk_get_n_pos(chunk),
                causal=not mtmd.mtmd_decode_use_non_causal(pointer, chunk),
                digest=hashlib.sha256(digest + number.to_bytes(4, "big")).digest(),
                handle=Chunk(mtmd, mtmd.mtmd_input_chunk_copy(chunk)),
            )
            spans.append(span)
            tokens += stand_ins(span.digest, cells)
        return ImagePrompt(tuple(tokens), tuple(spans))

    def encode(self, span: ImageSpan) -> bytes:
        """The embeddings of a prepared image: `span.cells` rows of `width` float32.

        Raises:
            EngineError: libmtmd failed.
        """
        with self._in_use() as pointer:
            if self._mtmd.mtmd_encode_chunk(pointer, span.handle.pointer):
                raise EngineError("the image could not be encoded")
            output = self._mtmd.mtmd_get_output_embd(pointer)
            return ctypes.string_at(output, span.cells * self.width * ctypes.sizeof(ctypes.c_float))

    def positions(self, span: ImageSpan, first: int) -> list[tuple[int, ...]]:
        """What llama.cpp is told for each cell of an image whose first position is `first`."""
        if self.positions_per_row == 1:
            return [(first + cell,) for cell in range(span.cells)]
        grid = (self._mtmd.mtmd_decoder_pos * span.cells)()
        tokens = self._mtmd.mtmd_input_chunk_get_tokens_image(span.handle.pointer)
        self._mtmd.mtmd_helper_image_get_decoder_pos(tokens, first, grid)
        return [(cell.t, cell.y, cell.x, cell.z) for cell in grid]
