"""Attempts from inside a server's own sandbox: a transient unit with the properties of the server's unit."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from genesis_stack.render.sandbox import Policy
from genesis_stack.verify.remote import Remote, UnreachableError, on_host, parse_json

OF_THE_PROCESS: Final = (
    "Type",
    "NotifyAccess",
    "Exec",
    "Slice",
    "Restart",
    "Timeout",
    "KillMode",
    "Watchdog",
    "Sockets",
    "CacheDirectory",
    "StateDirectory",
    "LoadCredential",
    "Environment",
    "Standard",
    "OOMPolicy",
)
"""Beginnings of directives that say how the server runs, not what it may do.

Its directories and credentials stay out as well: they would change hands.
"""

Profiles = Mapping[Literal["strict", "standard"], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something a server tries in vain.

    `ends` says with which errno it must end in each profile that promises it. A stack that sets one of
    `closed_by` itself has changed the promise, and the attempt is not judged.
    """

    name: str
    sentence: str
    ends: Profiles
    closed_by: frozenset[str]

    def unpromised(self, policy: Policy) -> str | None:
        """Why this model's sandbox does not promise it, if it does not."""
        if policy.profile not in self.ends:
            return f"the profile {policy.profile} does not promise it"
        set_in_stack = sorted(self.closed_by & policy.overrides.keys())
        return f"stack.yaml itself sets {', '.join(set_in_stack)}" if set_in_stack else None


def _attempt(name: str, sentence: str, strict: str, closed_by: str, standard: str | None = None) -> Attempt:
    ends: dict[Literal["strict", "standard"], frozenset[str]] = {"strict": frozenset(strict.split())}
    if standard != "":
        ends["standard"] = frozenset((standard or strict).split())
    return Attempt(name, sentence, ends, frozenset(closed_by.split()))


NETWORK: Final = "RestrictAddressFamilies PrivateNetwork IPAddressDeny IPAddressAllow"
PATHS: Final = "RootDirectory TemporaryFileSystem BindPaths BindReadOnlyPaths"
CALLS: Final = "SystemCallFilter SystemCallErrorNumber"
ATTEMPTS: Final = (
    _attempt("connect_out", "It cannot connect out", "EAFNOSUPPORT", NETWORK, "EPERM ENETUNREACH"),
    _attempt("open_a_port", "It cannot open another port", "EAFNOSUPPORT", NETWORK, ""),
    _attempt("write_to_etc", "It cannot write to /etc", "EROFS", "ProtectSystem ReadWritePaths BindPaths"),
    _attempt("write_to_usr", "It cannot write to /usr", "EROFS", "ProtectSystem ReadWritePaths BindPaths"),
    _attempt("write_to_its_weights", "It cannot write to its model files", "EACCES EROFS", PATHS),
    _attempt("read_homes", "It cannot read /root and /home", "EACCES ENOENT", f"ProtectHome {PATHS}"),
    _attempt("read_other_models", "It cannot read another model's files", "ENOENT", PATHS),
    _attempt("read_the_state", "It cannot see the state of genesis-stack", "ENOENT", PATHS),
    _attempt("see_other_processes", "It cannot see other processes", "ENOENT", "ProtectProc ProcSubset"),
    _attempt("trace_a_process", "It cannot trace a process", "EPERM", CALLS),
    _attempt("mount_something", "It cannot mount", "EPERM", CALLS),
    _attempt("make_a_namespace", "It cannot make a namespace", "EPERM", f"RestrictNamespaces {CALLS}"),
    _attempt(
        "write_and_execute_memory",
        "It cannot write memory and execute it",
        "EPERM",
        f"MemoryDenyWriteExecute {CALLS}",
    ),
    _attempt("execute_what_it_wrote", "It cannot execute what it wrote", "EACCES", "NoExecPaths ExecPaths"),
    _attempt("have_too_many_tasks", "It cannot have more tasks than its budget", "EAGAIN", "TasksMax"),
)
"""All of them; see on_host/attempts.py for what each one does."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What the attempts are told: model files and configs of this model and of the others."""

    own: Sequence[str]
    others: Sequence[str]
    state: str
    tasks: int


def program_of(unit_text: str) -> PurePosixPath | None:
    """The program that a unit runs; None where the text is no unit."""
    for name, value in directives(unit_text):
        if name == "ExecStart" and value:
            return PurePosixPath(shlex.split(value)[0].replace("%%", "%").replace("$$", "$"))
    return None


def directives(unit_text: str) -> Iterator[tuple[str, str]]:
    """Names and values below [Service], of all fragments that `systemctl cat` shows."""
    section = ""
    for line in unit_text.splitlines():
        if line.startswith("["):
            section = line.strip()
        elif section == "[Service]" and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def try_inside(remote: Remote, unit_text: str, inside: Inside) -> Mapping[str, tuple[str, str]]:
    """Make all attempts; each name's end, an errno or `done`, and what was said.

    Raises:
        UnreachableError: the sandbox cannot be entered.
    """
    program = program_of(unit_text)
    if program is None:
        raise UnreachableError("there is no unit whose sandbox could be entered")
    kept = [(name, value) for name, value in directives(unit_text) if not name.startswith(OF_THE_PROCESS)]
    visible = [value for name, value in kept if name == "BindReadOnlyPaths"]
    told = {
        "own": inside.own,
        "others": inside.others,
        "state": inside.state,
        "tasks": inside.tasks,
        "visible": visible,
    }
    properties = [f"--property={name}={value.replace('%%', '%')}" for name, value in kept]
    python = str(program.with_name("python"))
    argv = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", *properties]
    done = remote.run([*argv, python, "-I", "-c", on_host("attempts.py"), json.dumps(told)], check=False)
    if done.rc != 0:
        raise UnreachableError(f"the sandbox could not be entered: {done.stderr.strip()[-500:] or done.rc}")
    ends = parse_json(done.stdout, "attempts.py")
    return {name: (end, said) for name, (end, said) in ends.items()}
