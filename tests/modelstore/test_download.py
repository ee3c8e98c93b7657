from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from file_server import FileServer
from pulling import PULL
from waiting import until

from genesis_stack.errors import ExitCode
from genesis_stack.layout import Layout
from genesis_stack.modelstore.download import ATTEMPTS, Download, download
from genesis_stack.modelstore.faults import ChecksumError, DiskError, FetchError
from genesis_stack.modelstore.modelfile import ensure
from genesis_stack.spec.model import Weights


def declared(files: FileServer, **fields: object) -> Weights:
    """What a stack declares of the served file; constructed, because a stack insists on https."""
    given = {"source": files.url, "sha256": files.digest, "revision": None, "size": None, **fields}
    return Weights.model_construct(None, **given)


def fetch(files: FileServer, part: Path, expected: int | None = None) -> list[float]:
    """Download once more into `part`, without waiting, and return the pauses that were asked for."""
    pauses: list[float] = []
    job = Download(files.url, {}, part, expected, "model")
    download(job, lambda _: None, pause=pauses.append)
    return pauses


def start_pull(files: FileServer, root: Path) -> subprocess.Popen[bytes]:
    """`ensure` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PULL, files.url, files.digest, str(root)], stderr=subprocess.PIPE
    )


def test_a_file_is_downloaded_verified_and_read(files: FileServer, layout: Layout) -> None:
    """One call leads from a URL to a verified file with its facts, read-only, under its digest."""
    file = ensure(declared(files), layout)
    assert file.path == layout.models / "sha256" / files.digest
    assert file.path.read_bytes() == files.content
    assert file.path.stat().st_mode & 0o777 == 0o444
    assert file.facts.layers == 2
    assert list((layout.models / "partial").iterdir()) == []


def test_a_second_call_asks_nobody(files: FileServer, layout: Layout) -> None:
    """A verified file costs no request."""
    ensure(declared(files), layout)
    ensure(declared(files), layout)
    assert len(files.requests) == 1


def test_a_broken_connection_is_resumed_where_it_broke(files: FileServer, tmp_path: Path) -> None:
    """Bytes that have arrived are not asked for again."""
    files.cuts = [1_000_000, 500_000]
    fetch(files, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == files.content
    assert files.requests == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_killed_download_is_resumed_by_the_next_run(files: FileServer, tmp_path: Path) -> None:
    """A kill -9 loses nothing that has arrived, shows no half file, and holds no lock."""
    files.gated = True
    running = start_pull(files, tmp_path)
    with running:
        assert files.half_sent.wait(30)
        part = Layout.under(tmp_path).models / "partial" / files.digest
        until(lambda: part.exists() and part.stat().st_size > 1_000_000, "a part of the file")
        os.kill(running.pid, signal.SIGKILL)
    assert not (Layout.under(tmp_path).models / "sha256" / files.digest).exists()
    have = part.stat().st_size
    files.gate.set()
    assert ensure(declared(files), Layout.under(tmp_path)).path.read_bytes() == files.content
    assert files.requests[-1] == f"bytes={have}-"


def test_ctrl_c_leaves_a_part_and_no_model(files: FileServer, tmp_path: Path) -> None:
    """An interrupted download can be taken up again."""
    files.gated = True
    running = start_pull(files, tmp_path)
    with running:
        assert files.half_sent.wait(30)
        part = Layout.under(tmp_path).models / "partial" / files.digest
        until(lambda: part.exists() and part.stat().st_size > 1_000_000, "a part of the file")
        running.send_signal(signal.SIGINT)
        running.wait(30)
    assert part.exists()
    assert list((Layout.under(tmp_path).models / "sha256").iterdir()) == []


def test_a_changed_file_is_not_glued_to_the_old_part(files: FileServer, tmp_path: Path) -> None:
    """Another ETag means another file: the download starts from zero."""
    files.cuts = [1_000_000]

    def replace(_: float) -> None:
        files.content, files.etag = files.content[-500_000:], '"two"'

    job = Download(files.url, {}, tmp_path / "part", None, "model")
    download(job, lambda _: None, pause=replace)
    assert files.requests == [None, "bytes=1000000-"]
    assert (tmp_path / "part").read_bytes() == files.content


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_validator_nothing_is_resumed(files: FileServer, tmp_path: Path, etag: str | None) -> None:
    """A part that cannot be tied to the server's file is thrown away."""
    files.etag, files.cuts = etag, [1_000_000]
    fetch(files, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == files.content
    assert files.requests == [None, None]


def test_a_server_without_ranges_still_gives_the_file(files: FileServer, tmp_path: Path) -> None:
    """A 200 to a range request means from the beginning."""
    files.ranges, files.cuts = False, [1_000_000]
    fetch(files, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == files.content


def test_a_server_that_tells_no_length_still_gives_the_file(files: FileServer, tmp_path: Path) -> None:
    """Chunked answers end where they end."""
    files.chunked = True
    fetch(files, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == files.content


def test_a_whole_part_is_not_downloaded_again(files: FileServer, tmp_path: Path) -> None:
    """Killed between the last byte and the rename: the server says 416, and that is fine."""
    fetch(files, tmp_path / "part")
    fetch(files, tmp_path / "part")
    assert files.requests == [None, f"bytes={len(files.content)}-"]


def test_a_server_that_announces_too_much_is_given_up(files: FileServer, tmp_path: Path) -> None:
    """A Content-Length that is never reached ends in an error, not in a loop."""
    files.extra, files.ranges = 10, False
    with pytest.raises(FetchError):
        fetch(files, tmp_path / "part")
    assert len(files.requests) <= ATTEMPTS + 1


def test_another_size_than_declared_is_refused_before_the_body(files: FileServer, tmp_path: Path) -> None:
    """The server's length is held against the stack's before gigabytes are spent."""
    with pytest.raises(ChecksumError) as caught:
        fetch(files, tmp_path / "part", expected=len(files.content) + 1)
    assert caught.value.exit_code is ExitCode.CHECKSUM
    assert not (tmp_path / "part").exists()


def test_a_body_longer_than_declared_is_cut_off(files: FileServer, tmp_path: Path) -> None:
    """A server without a length cannot fill the disk."""
    files.chunked = True
    with pytest.raises(ChecksumError):
        fetch(files, tmp_path / "part", expected=1000)
    assert not (tmp_path / "part").exists()


def test_busy_servers_are_asked_again(files: FileServer, tmp_path: Path) -> None:
    """429 and 5xx pass, with growing pauses."""
    files.statuses = [503, 429]
    assert fetch(files, tmp_path / "part") == [0.5, 1.0]


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_a_refusal_is_final(files: FileServer, tmp_path: Path, status: int) -> None:
    """No permission and no such file end at once, and say what to do."""
    files.statuses = [status]
    with pytest.raises(FetchError) as caught:
        fetch(files, tmp_path / "part")
    assert str(status) in str(caught.value)
    assert caught.value.hint
    assert len(files.requests) == 1


def test_an_unreachable_server_says_what_to_do(tmp_path: Path) -> None:
    """No traceback: the host, and the ways around it."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    job = Download(f"http://127.0.0.1:{port}/f", {}, tmp_path / "part", None, "model")
    pauses: list[float] = []
    with pytest.raises(FetchError) as caught:
        download(job, lambda _: None, pause=pauses.append)
    assert len(pauses) == ATTEMPTS - 1
    assert all(way in str(caught.value.hint) for way in ("HF_ENDPOINT", "models import", "file:///"))


def test_no_room_is_said_before_the_download(
    files: FileServer, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error tells how much is missing; not a byte of the body is written."""
    status = os.statvfs("/")
    values = list(status)
    values[4] = 1  # one free block
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(values))
    with pytest.raises(DiskError, match="are missing"):
        ensure(declared(files), layout)
    assert not (layout.models / "partial" / files.digest).exists()


def test_a_full_disk_in_mid_download_is_an_error_and_keeps_the_part(
    files: FileServer, layout: Layout
) -> None:
    """What the file system says while writing is told as it is; RLIMIT_FSIZE stands in for a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(DiskError):
            ensure(declared(files), layout)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not (layout.models / "sha256" / files.digest).exists()
    ensure(declared(files), layout)


def test_two_runs_at_once_download_once(files: FileServer, tmp_path: Path) -> None:
    """The second waits, says for whom, and finds the file there."""
    files.gated = True
    with start_pull(files, tmp_path) as first:
        assert files.half_sent.wait(30)
        with start_pull(files, tmp_path) as second:
            assert second.stderr is not None
            told = second.stderr.readline().decode()
            files.gate.set()
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(files.requests) == 1
    assert f"pid {first.pid}" in told
