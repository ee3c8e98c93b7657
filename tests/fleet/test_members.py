"""Who is a host of a stack, and what is told of hosts that cannot be asked."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genesis_stack.cli import other_hosts
from genesis_stack.cli.plan import plan
from genesis_stack.cli.status import status
from genesis_stack.cli.verify import verify
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.fleet.member import each, members
from genesis_stack.fleet.ssh import AwayError, Reach
from genesis_stack.modelstore.here import NotAHostError, host_here
from genesis_stack.modelstore.host import LocalHost
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack

MACHINE = LocalHost(2**34, "installed", 8, "processors we may use", "Beta", "b" * 32)


def text(hosts: str, address: str = "ssh://root@127.0.0.1:1") -> str:
    """A stack of these hosts."""
    return f"""
api_version: genesis.stack/v1
name: fleet
models:
  m:
    port: 8000
    weights: {{source: "file:///m.gguf", sha256: {"a" * 64}}}
    budget: {{memory: 64MiB, cpus: 1}}
hosts: {hosts.replace("AWAY", f"address: '{address}'")}
"""


def stack(hosts: str) -> Stack:
    """The same, loaded."""
    return loads(text(hosts))


@pytest.mark.parametrize(
    ("hosts", "name"),
    [
        ("{alpha: {}, beta: {}}", "beta"),
        (f"{{alpha: {{machine_id: {'b' * 32}}}, other: {{}}}}", "alpha"),
        ("{alpha: {hostname: beta}, other: {}}", "alpha"),
        ("{}", None),
    ],
)
def test_a_machine_knows_itself_by_machine_id_or_by_name(hosts: str, name: str | None) -> None:
    """Names count without regard to case; a stack without hosts is everybody's."""
    assert host_here(stack(hosts), MACHINE) == name


def test_a_machine_id_goes_before_a_name() -> None:
    """Another machine of the same name, a clone say, is not the host."""
    hosts = stack(f"{{beta: {{machine_id: {'c' * 32}}}}}")
    with pytest.raises(NotAHostError):
        host_here(hosts, MACHINE)
    assert host_here(hosts, replace(MACHINE, machine_id="c" * 32)) == "beta"


def test_a_machine_that_is_no_host_is_refused_with_what_it_is() -> None:
    """With exit status 78, and both sides of the comparison."""
    with pytest.raises(NotAHostError) as caught:
        host_here(stack("{alpha: {}}"), MACHINE)
    assert caught.value.exit_code is ExitCode.INVALID_CONFIG
    assert "Beta" in str(caught.value)
    assert "alpha" in str(caught.value.hint)


def test_a_machine_that_is_two_hosts_is_refused() -> None:
    """Nobody guesses which."""
    with pytest.raises(NotAHostError, match="alpha, beta"):
        host_here(stack(f"{{alpha: {{machine_id: {'b' * 32}}}, beta: {{}}}}"), MACHINE)


def test_one_error_does_not_keep_the_others_from_answering() -> None:
    """Each host has its own answer, in the order of the stack."""

    def ask(one: object) -> str:
        if one is everyone[0]:
            raise GenesisError("away")
        return "here"

    everyone = members(stack("{alpha: {}, beta: {}}"), MACHINE)
    away, here = each(everyone, ask)
    assert isinstance(away, GenesisError)
    assert here == "here"


@pytest.fixture
def away() -> Iterator[str]:
    """An address at which nothing listens, as long as we hold it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"ssh://root@127.0.0.1:{taken.getsockname()[1]}"


def called(command: object, *words: str | Path) -> Result:
    """Run a verb with these words."""
    return CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)  # type: ignore[arg-type]


def test_a_host_that_is_away_is_a_row(tmp_path: Path, away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the status of this machine; the exit status says that not all could be asked."""
    monkeypatch.setattr(other_hosts, "read_host", lambda: MACHINE)
    path = tmp_path / "stack.yaml"
    path.write_text(text("{beta: {}, gone: {AWAY}, nowhere: {}}", away))
    where = ["--stack", path, "--root", tmp_path, "--backend", "embedded"]
    done = called(status, "--all", "--json", *where)
    assert done.return_value is ExitCode.FAILED
    here, gone, nowhere = json.loads(done.stdout)["hosts"]
    assert here["status"]["sync"] == "nothing applied"
    assert gone["status"] is None
    assert "refused" in gone["error"]
    assert "no address" in nowhere["error"]
    table = called(status, "--all", *where).stdout.splitlines()
    assert table[2].split()[:2] == ["gone", "away"]


def test_an_answer_that_is_no_text_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is guessed; what ssh says for people may be in any encoding."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nprintf 'caf\\351'\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(AwayError, match="is no text"):
        Reach().ask("ssh://root@host.invalid", ["status"])
    ssh.write_text("#!/bin/sh\nprintf 'refus\\351' >&2\nexit 255\n")
    with pytest.raises(AwayError, match="refus\N{REPLACEMENT CHARACTER}"):
        Reach().ask("ssh://root@host.invalid", ["status"])


def test_a_plan_for_a_host_that_is_away_says_so(tmp_path: Path, away: str) -> None:
    """And a host that the stack does not name is a mistake of the command line."""
    path = tmp_path / "stack.yaml"
    path.write_text(text("{gone: {AWAY}}", away))
    assert "refused" in str(called(plan, path, "--host", "gone").exception)
    unknown = called(plan, path, "--host", "gon").exception
    assert isinstance(unknown, GenesisError)
    assert (unknown.exit_code, unknown.hint) == (ExitCode.USAGE, "did you mean gone?")
    saved = called(plan, path, "--host", "gone", "-o", tmp_path / "plan").exception
    assert isinstance(saved, GenesisError)
    assert saved.exit_code is ExitCode.USAGE


def test_plan_refuses_on_a_machine_that_is_no_host(tmp_path: Path) -> None:
    """Before anything else is said of the stack."""
    path = tmp_path / "stack.yaml"
    path.write_text(text("{elsewhere: {hostname: elsewhere.invalid}}"))
    assert isinstance(called(plan, path, "--root", tmp_path).exception, NotAHostError)


def test_verifying_all_hosts_names_those_that_are_away(tmp_path: Path, away: str) -> None:
    """When no host can be asked, that is an error with each one's reason."""
    path = tmp_path / "stack.yaml"
    path.write_text(text("{gone: {AWAY}, nowhere: {}}", away))
    failed = called(verify, path, "--all").exception
    assert isinstance(failed, GenesisError)
    assert "gone: " in str(failed)
    assert "nowhere: " in str(failed)
