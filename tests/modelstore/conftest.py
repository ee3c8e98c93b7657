"""A running file server, and a GGUF that is small and whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
from file_server import FileServer, serving

from genesis_stack.layout import Layout


@pytest.fixture
def files(tiny_gguf: bytes) -> Iterator[FileServer]:
    """A running server of `tiny_gguf`."""
    with serving(tiny_gguf) as content:
        yield content


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A llama of two layers and 4 MB, written by the reference implementation."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_file_type(0)
    writer.add_block_count(2)
    writer.add_context_length(256)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv([2, 1])
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"token{index}" for index in range(300)])
    writer.add_token_scores([0.0] * 300)
    writer.add_chat_template("{{ messages }}")
    noise = np.random.default_rng(7)
    writer.add_tensor("token_embd.weight", noise.random((300, 64), dtype=np.float32))
    writer.add_tensor("blk.0.ffn_up.weight", noise.random((16_000, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty tree."""
    return Layout.under(tmp_path / "root")
