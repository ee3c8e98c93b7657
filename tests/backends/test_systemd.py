"""What the systemd backend runs, word for word, with the one door to processes replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from genesis_stack import process
from genesis_stack.backends import Desired, LintError, Monitor, Phase, Service
from genesis_stack.backends.systemd import SystemdBackend
from genesis_stack.layout import Layout
from genesis_stack.process import Completed, ProcessError
from genesis_stack.render import RenderedFile

SERVICE = Service(
    model="smol",
    host="127.0.0.1",
    port=1,
    weights="w",
    config="c",
    memory=1024,
    strategy="queue",
    min_healthy=1.0,
    deadline=60.0,
    drain=30.0,
    max_exposure=0.2,
    restart_on=(),
)
UNIT = PurePosixPath("/etc/systemd/system/smol-server.service")
UNIT_FILE = "[Service]\nMemoryMax=1024\nTasksMax=64\nCPUQuota=150%\n"
DESIRED = Desired("s", "", {UNIT: RenderedFile(UNIT, UNIT_FILE, 0o644, "root")}, {"smol": SERVICE}, ())
SHOWN = """\
Id=genesis.slice
LoadState=loaded
DropInPaths=

Id=smol-server.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
MainPID=0
NRestarts=2
ActiveEnterTimestampMonotonic=1000000
MemoryCurrent=512
MemoryMax=2048
TasksMax=64
CPUQuotaPerSecUSec=1.500000s
NeedDaemonReload=no
DropInPaths=/control/smol-server.service.d/50-MemoryMax.conf /etc/service.d/a.conf

Id=smol-server.socket
LoadState=loaded
ActiveState=inactive
UnitFileState=disabled
NeedDaemonReload=no
DropInPaths=
"""


class Door:
    """Stands for `process.run`: notes every argv, answers from a table by its first words."""

    def __init__(self) -> None:
        self.argv: list[str] = []
        self.answers: dict[str, Completed] = {}

    def __call__(self, argv: Sequence[object], *, check: bool = True, **_: object) -> Completed:
        """Note and answer."""
        line = " ".join(map(str, argv))
        self.argv.append(line)
        for start, answer in self.answers.items():
            if line.startswith(start):
                if check and answer.returncode:
                    raise ProcessError(answer)
                return answer
        return Completed(tuple(map(str, argv)), 0, "", "")

    def answer(self, start: str, *, code: int = 0, stdout: str = "", stderr: str = "") -> None:
        """What a program that starts like this says."""
        self.answers[start] = Completed((start,), code, stdout, stderr)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """The replaced door."""
    door = Door()
    monkeypatch.setattr(process, "run", door)
    return door


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SystemdBackend:
    """A backend whose host's files are below a temporary directory."""
    monkeypatch.setattr("genesis_stack.backends.systemd.RUNTIME_UNITS", tmp_path / "run")
    monkeypatch.setattr(SystemdBackend, "live", lambda _, path: tmp_path / path.relative_to("/"))
    return SystemdBackend(Layout.under(tmp_path))


CASES: list[tuple[str, Callable[[SystemdBackend], object], list[str]]] = [
    (
        "start opens the port before the server",
        lambda backend: backend.start(SERVICE),
        [
            "systemctl start genesis.target smol-server.socket",
            "systemctl start --no-block smol-server.service",
        ],
    ),
    (
        "restart leaves the socket open",
        lambda backend: backend.restart(SERVICE),
        [
            "systemctl start smol-server.socket",
            "systemctl restart --no-block smol-server.service",
        ],
    ),
    (
        "release stops socket and server and forgets them at boot",
        lambda backend: backend.release("smol"),
        [
            "systemctl stop smol-server.socket smol-server.service",
            "systemctl disable --quiet smol-server.service smol-server.socket",
        ],
    ),
    (
        "reload makes users and directories before systemd reads the units",
        lambda backend: backend.reload(DESIRED),
        [
            "systemd-sysusers /etc/sysusers.d/genesis-stack.conf",
            "systemd-tmpfiles --create /etc/tmpfiles.d/genesis-stack.conf",
            "systemctl daemon-reload",
            "systemctl enable --quiet genesis.target smol-server.service smol-server.socket",
        ],
    ),
    (
        "the agent's log is that of the service, not of the timer that starts it",
        lambda backend: backend.log_tail("gitops.agent", 5),
        ["journalctl --no-pager --output=cat --lines=5 --unit=genesis-agent.service"],
    ),
    (
        "reload without models only reads",
        lambda backend: backend.reload(Desired.nothing()),
        ["systemctl daemon-reload"],
    ),
]


@pytest.mark.parametrize(("do", "argv"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_runs_exactly(
    do: Callable[[SystemdBackend], object], argv: list[str], backend: SystemdBackend, door: Door
) -> None:
    """Each method runs these programs, in this order, and no others."""
    do(backend)
    assert door.argv == argv


def test_a_replacement_shares_the_socket_and_leaves_no_unit(
    backend: SystemdBackend, door: Door, tmp_path: Path
) -> None:
    """The second server gets the first one's socket; when all is done its unit is gone."""
    unit = tmp_path / UNIT.relative_to("/")
    unit.parent.mkdir(parents=True)
    unit.write_text(UNIT_FILE)
    backend.start_beside(SERVICE)
    second = tmp_path / "run/smol-server-next.service"
    assert "[Service]\nSockets=smol-server.socket\nMemoryMax" in second.read_text()
    backend.finish_beside(SERVICE, keep_new=True)
    assert door.argv == [
        "systemctl daemon-reload",
        "systemctl start --no-block smol-server-next.service",
        "systemctl restart smol-server.service",
        "systemctl stop smol-server-next.service",
        "systemctl daemon-reload",
    ]
    assert not second.exists()


def test_observe_asks_once_and_sees_what_is_off(
    backend: SystemdBackend, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One `systemctl show` for all units; a changed limit, a closed socket, a disabled unit, a drop-in."""
    unit = tmp_path / UNIT.relative_to("/")
    unit.parent.mkdir(parents=True)
    unit.write_text(UNIT_FILE)
    drop_in = tmp_path / "smol-server.service.d/50-MemoryMax.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nMemoryMax=2048\n")
    shown = SHOWN.replace("/control", str(tmp_path))
    door.answer("systemctl show", stdout=shown)
    monkeypatch.setattr("genesis_stack.backends.ports.strangers", lambda *_: {})
    seen = backend.observe(DESIRED, [])
    assert len(door.argv) == 1
    smol = seen.services["smol"]
    assert (smol.phase, smol.restarts, smol.memory) == (Phase.RUNNING, 2, 512)
    assert smol.limits == {"MemoryMax": ("1024", "2048")}
    assert not smol.listening
    assert not smol.enabled
    assert [(one.path, one.model) for one in seen.foreign] == [(drop_in, "smol")]


def test_a_drop_in_of_a_program_that_watches_is_told_with_its_name(
    backend: SystemdBackend, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the plan knows it; one of the slice is of no program alone."""
    monitor = Monitor("monitor.prometheus", "127.0.0.1", 9090, reload_on=(), restart_on=())
    folders = ("genesis-prometheus.service.d", "genesis.slice.d")
    files = [tmp_path / folder / "override.conf" for folder in folders]
    for file in files:
        file.parent.mkdir()
        file.write_text("")
    unit = SHOWN.split("\n\n")[1].replace("smol-server.service", "genesis-prometheus.service")
    unit = unit.partition("DropInPaths=")[0] + f"DropInPaths={files[0]}\n"
    shown = SHOWN.replace(
        "LoadState=loaded\nDropInPaths=\n", f"LoadState=loaded\nDropInPaths={files[1]}\n", 1
    )
    door.answer("systemctl show", stdout=shown.replace("/control", "/gone") + "\n" + unit)
    monkeypatch.setattr("genesis_stack.backends.ports.strangers", lambda *_: {})
    seen = backend.observe(replace(DESIRED, monitors={monitor.name: monitor}), [])
    assert {one.path: one.model for one in seen.foreign} == {files[0]: "monitor.prometheus", files[1]: None}


def test_what_a_unit_keeps_outside_of_the_layout_is_known(backend: SystemdBackend, tmp_path: Path) -> None:
    """The directories of links, and those of users that come and go."""
    for kind, folders in (("cache", backend.caches), ("log", backend.logs)):
        above = tmp_path / "var" / kind
        assert folders == (above / "genesis-stack", above / "private/genesis-stack")


def test_a_unit_that_does_not_exist_is_absent(backend: SystemdBackend, door: Door) -> None:
    """Before the first apply."""
    missing = "Id=smol-server.service\nLoadState=not-found\n\nId=smol-server.socket\nLoadState=not-found\n"
    door.answer("systemctl show", stdout=missing)
    assert backend.processes({"smol": SERVICE})["smol"].phase is Phase.ABSENT


def test_any_word_of_verify_fails_the_lint(backend: SystemdBackend, door: Door, tmp_path: Path) -> None:
    """Systemd only warns about what it does not know, and ends with 0."""
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    door.answer("systemd-analyze verify", stderr="Unknown key name 'RestartSteps', ignoring.")
    with pytest.raises(LintError, match="RestartSteps"):
        backend.lint(tmp_path, DESIRED)


def test_a_weaker_sandbox_than_allowed_fails_the_lint(
    backend: SystemdBackend, door: Door, tmp_path: Path
) -> None:
    """Whatever else is said, the score decides."""
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    verdict = "→ Overall exposure level for smol-server.service: 9.6 UNSAFE"
    door.answer("systemd-analyze security", stdout=verdict)
    with pytest.raises(LintError, match=r"exposure is 9\.6, max_exposure is 0\.2"):
        backend.lint(tmp_path, DESIRED)


def test_a_weaker_sandbox_shows_in_the_plan_as_a_score(backend: SystemdBackend, door: Door) -> None:
    """Before and after; a changed budget is no change of the sandbox and costs no look."""
    door.answer("systemd-analyze security", stdout="→ Overall exposure level for x.service: 0.6 SAFE")
    weaker = UNIT_FILE + "PrivateNetwork=no\n"
    assert backend.remark(UNIT, UNIT_FILE, weaker) == "exposure 0.6 -> 0.6"
    door.argv.clear()
    assert backend.remark(UNIT, UNIT_FILE, UNIT_FILE.replace("1024", "2048")) == ""
    assert door.argv == []


def test_stopping_what_does_not_exist_is_no_error(backend: SystemdBackend, door: Door) -> None:
    """A run that was interrupted may have removed it already."""
    door.answer("systemctl stop", code=5, stderr="Unit smol-server.socket not loaded.")
    backend.stop("smol")
    door.answer("systemctl stop", code=1, stderr="Access denied")
    with pytest.raises(ProcessError):
        backend.stop("smol")
