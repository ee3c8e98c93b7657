"""A notice on its way through Debian's own Alertmanager to the receiver that the stack names."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port
from waiting import until

from genesis_stack.gitops.notices import Teller
from genesis_stack.gitops.record import Notice, Record
from genesis_stack.layout import Layout
from genesis_stack.process import run
from genesis_stack.render.monitoring import monitoring_files
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack
from gitops.followed import stack_text
from gitops.listener import Listener

pytestmark = pytest.mark.prometheus


def stack(url: str, port: int) -> Stack:
    """Two receivers, of which the second is told of revisions, though no route leads to it."""
    receivers = {
        "ops": {"webhook": {"url": f"{url}/ops"}},
        "forge": {"webhook": {"url": f"{url}/forge"}},
    }
    monitoring = {"prometheus": {}, "alertmanager": {"port": port, "receivers": receivers}}
    gitops = {"repository": "file:///srv/stack.git", "notify": "forge"}
    return loads(stack_text({"a": "one"}, gitops, monitoring=monitoring))


@contextmanager
def alertmanager(folder: Path, about: Stack, port: int) -> Iterator[None]:
    """One that runs with what the stack renders to."""
    for file in monitoring_files(about, Layout.system(), "", str):
        (folder / file.path.name).write_text(file.content)
    config = folder / "alertmanager.yml"
    assert run(["amtool", "check-config", config], check=False).returncode == 0
    listen = f"--web.listen-address=127.0.0.1:{port}"
    command = ["prometheus-alertmanager", f"--config.file={config}", listen, "--cluster.listen-address="]
    with (folder / "log").open("w") as log:
        running = subprocess.Popen([*command, f"--storage.path={folder}"], stdout=log, stderr=log)
    try:
        until(lambda: ready(port), "Alertmanager", seconds=60)
        yield
    finally:
        running.terminate()
        running.wait()


def ready(port: int) -> bool:
    """Whether it answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


def test_a_notice_reaches_the_declared_receiver_once(tmp_path: Path, listener: Listener) -> None:
    """Told twice, as after a crash, it is heard once; the other receiver hears nothing of it."""
    port = free_port()
    about = stack(listener.url, port)
    assert about.gitops is not None
    teller = Teller.of(about, about.gitops, Layout.under(tmp_path))
    first = Notice(revision="a" * 40, outcome="applied", stack="world", host="h", time=1.0)
    second = first.model_copy(update={"revision": "b" * 40, "outcome": "refused"})
    with alertmanager(tmp_path, about, port):
        for notice in (first, first, second):
            told = teller.tell(teller.add(Record(), notice), pytest.fail)
            assert told.pending == ()
        until(lambda: len(listener.heard) >= 2, "both notices", seconds=60)
    heard = [(path, body["alerts"][0]["labels"]["revision"]) for path, _, body in listener.heard]
    assert sorted(heard) == [("/forge", "a" * 12), ("/forge", "b" * 12)]
    assert {body["status"] for _, _, body in listener.heard} == {"firing"}
