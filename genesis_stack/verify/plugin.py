"""The pytest side of `infra_tests/`: options, fixtures, and the report of a run."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import pytest

from genesis_stack.errors import GenesisError
from genesis_stack.spec.load import load
from genesis_stack.verify.facts import Facts, Process
from genesis_stack.verify.machine import Machine, Promised
from genesis_stack.verify.remote import Remote
from genesis_stack.verify.report import Finding, Outcome, Report, write_report
from genesis_stack.verify.sandbox import ATTEMPTS, Attempt

OUTCOMES: Final[dict[str, Outcome]] = {"passed": "holds", "failed": "violated", "skipped": "not checked"}
EVIDENCE: Final = "evidence"
Evidence = Callable[[str, object], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--stack` and what goes with it; how hosts are reached is testinfra's own."""
    group = parser.getgroup("genesis-stack")
    group.addoption("--stack", type=Path, default=Path("stack.yaml"), help="what the host must hold")
    group.addoption("--as-host", help="the host's name in `hosts` of the stack; absent: it runs everything")
    group.addoption("--report-json", type=Path, help="write all findings with their evidence here")
    group.addoption("--test-alert", action="store_true", help="send a test alert to the receivers")


def pytest_configure(config: pytest.Config) -> None:
    """Read the stack before anything else: without it there is nothing to verify."""
    path: Path = config.getoption("--stack")
    try:
        promised = Promised.on(path.read_text(encoding="utf-8"), load(path), config.getoption("--as-host"))
    except (OSError, GenesisError) as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(Recorder(config, promised), "genesis-stack-recorder")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One check for each model, and for each attempt from inside."""
    recorder = _recorder(metafunc.config)
    if "model" in metafunc.fixturenames:
        metafunc.parametrize("model", list(recorder.promised.stack.models))
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)


@pytest.fixture
def machine(host: Any, request: pytest.FixtureRequest) -> Machine:
    """The host that is looked at; what was asked once is remembered for the whole run."""
    return _recorder(request.config).machine(host)


@pytest.fixture
def facts(machine: Machine) -> Facts:
    """What the host shows of itself."""
    return machine.facts


@pytest.fixture
def process(machine: Machine, model: str) -> Process:
    """The model's running server; without one the check is left out, and its absence is found elsewhere."""
    found = machine.process(model)
    if found is None:
        pytest.skip("the server does not run")
    return found


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Puts what was read into the report."""

    def record(label: str, text: object) -> None:
        request.node.user_properties.append((EVIDENCE, (label, str(text))))

    return record


class Recorder:
    """Collects findings during a run and writes them at its end."""

    def __init__(self, config: pytest.Config, promised: Promised) -> None:
        self.promised = promised
        self._config = config
        self._machines: dict[str, Machine] = {}
        self._findings: list[Finding] = []
        self._started = time.time()

    def machine(self, host: Any) -> Machine:
        """The machine behind a host of testinfra."""
        name = host.backend.get_pytest_id()
        if name not in self._machines:
            machine = Machine(Remote(host), self.promised)
            try:
                machine.facts  # noqa: B018 -- read now: without them nothing can be checked
            except GenesisError as error:
                hint = f"\n  hint: {error.hint}" if error.hint else ""
                pytest.exit(f"{name}: {error}{hint}", returncode=int(error.exit_code))
            self._machines[name] = machine
        return self._machines[name]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Function, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn pytest's report into a finding."""
        report = yield
        if report.when == "call" or (report.when == "setup" and not report.passed):
            self._findings.append(self._finding(item, call, report))
        return report

    def _finding(
        self, item: pytest.Function, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> Finding:
        params: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
        attempt: Attempt | None = params.get("attempt")
        host = params.get("_testinfra_host")
        evidence: list[Any] = [value for name, value in item.user_properties if name == EVIDENCE]
        return Finding(
            promise=_sentence(item.module),
            check=attempt.name if attempt else item.originalname.removeprefix("test_"),
            sentence=attempt.sentence if attempt else _sentence(item.function),
            host=host.backend.get_pytest_id() if host is not None else "",
            model=str(params.get("model", "")),
            outcome=OUTCOMES[report.outcome],
            reason=_reason(call, report),
            evidence=tuple(evidence),
        )

    def pytest_sessionfinish(self) -> None:
        """Write what was found."""
        target: Path | None = self._config.getoption("--report-json")
        if target is not None and self._findings:
            write_report(
                Report(
                    stack=self.promised.stack.name,
                    started=self._started,
                    seconds=round(time.time() - self._started, 2),
                    machines={name: machine.described() for name, machine in self._machines.items()},
                    findings=tuple(self._findings),
                ),
                target,
            )


def _recorder(config: pytest.Config) -> Recorder:
    found = config.pluginmanager.get_plugin("genesis-stack-recorder")
    assert isinstance(found, Recorder)  # noqa: S101 -- registered above
    return found


def _sentence(documented: object) -> str:
    """What a check, or a file of checks, says of itself."""
    return (inspect.getdoc(documented) or repr(documented)).splitlines()[0].rstrip(".")


def _reason(call: pytest.CallInfo[None], report: pytest.TestReport) -> str:
    """What the check itself says, without pytest's picture of its source."""
    if report.passed or call.excinfo is None:
        return ""
    said = str(call.excinfo.value).strip()
    return said.split("\nassert ")[0].strip() if report.failed else said.removeprefix("Skipped: ")
