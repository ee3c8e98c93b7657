from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from file_server import FileServer
from pulling import PULL

from genesis_stack.layout import Layout

SOURCE = "hf://owner/repo/dir/model.gguf@abc123"


def pull(files: FileServer, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`ensure` from a hub that is the local server; huggingface_hub reads its environment once."""
    mirror = files.url.removesuffix("/model.gguf")
    return subprocess.run(
        [sys.executable, "-c", PULL, SOURCE, files.digest, str(root)],
        env={**os.environ, "HF_ENDPOINT": mirror, "HF_HOME": str(root / "hf"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_mirror_of_the_hub_serves_the_file(files: FileServer, tmp_path: Path) -> None:
    """HF_ENDPOINT is honoured, and so is a break in the connection."""
    files.cuts = [1_000_000]
    done = pull(files, tmp_path)
    assert done.returncode == 0, done.stderr
    assert Layout.under(tmp_path).models.joinpath("sha256", files.digest).exists()
    assert files.requests == [None, "bytes=1000000-"]


def test_the_token_goes_to_the_hub(files: FileServer, tmp_path: Path) -> None:
    """HF_TOKEN opens gated repositories."""
    pull(files, tmp_path, HF_TOKEN="hf_secret")
    assert files.headers[0]["authorization"] == "Bearer hf_secret"


def test_offline_mode_asks_nobody(files: FileServer, tmp_path: Path) -> None:
    """HF_HUB_OFFLINE ends in an error that names the other ways."""
    done = pull(files, tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode != 0
    assert "HF_HUB_OFFLINE" in done.stderr
    assert files.requests == []
