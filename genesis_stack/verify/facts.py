"""What a host shows of itself, read in one round trip: units, files, processes, sockets, the machine."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from genesis_stack.backends.ports import LISTEN
from genesis_stack.backends.units import Unit, parse_show
from genesis_stack.errors import GenesisError
from genesis_stack.reconcile.generations import StoredGeneration
from genesis_stack.verify.remote import Remote

EXPOSURE: Final = re.compile(r"Overall exposure level for .*: ([0-9.]+)")
SEPARATOR: Final = "\x1e"


class NotRootError(GenesisError):
    """Whoever asks may not look at what has to be seen."""


class NoSystemdError(GenesisError):
    """The servers of that host are no systemd units."""


@dataclass(frozen=True, slots=True)
class FileFact:
    """One file as it is; `mode` holds the permission bits. None where there is no such file."""

    path: str
    mode: int | None
    owner: str | None
    sha256: str | None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount that a process sees; see proc(5), mountinfo."""

    point: str
    options: frozenset[str]
    kind: str


@dataclass(frozen=True, slots=True)
class Listening:
    """One TCP socket in the state LISTEN."""

    address: str
    port: int
    inode: str


@dataclass(frozen=True, slots=True)
class Process:
    """A running server as the kernel has it.

    `status` is /proc/PID/status, `limits` the files of its control groups, `listening` and `links` are
    those of its own network namespace.
    """

    pid: int
    status: Mapping[str, str]
    namespaces: Mapping[str, str]
    mounts: Sequence[Mount]
    limits: Mapping[str, str]
    listening: Sequence[Listening]
    links: Sequence[str]
    rlimits: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was read. `clock_offset` is the host's clock less ours, in seconds."""

    sections: Mapping[str, str]
    clock_offset: float
    units: Mapping[str, Unit]
    unit_texts: Mapping[str, str]
    exposures: Mapping[str, float]
    generation: StoredGeneration | None
    generation_files: Mapping[str, FileFact]
    model_files: Mapping[str, FileFact]
    listening: Sequence[Listening]
    holders: Mapping[str, Sequence[int]]
    processes: Mapping[str, Process]
    namespaces: Mapping[str, str]

    def text(self, section: str) -> str:
        """What the host answered to one question, as it is."""
        return self.sections.get(section, "").strip()

    def unit(self, name: str) -> Unit:
        """What systemd says of a unit; empty where it knows none."""
        return self.units.get(name, {})

    @property
    def container(self) -> bool:
        """Whether the host is a container, whose clock and kernel settings are another machine's."""
        return self.text("container") not in {"", "none"}


def read_facts(remote: Remote, state: str, models: Sequence[str], model_files: Sequence[str]) -> Facts:
    """Ask the host once.

    Raises:
        UnreachableError: it does not answer.
        NotRootError: we are not root there.
        NoSystemdError: its servers cannot be units.
    """
    before = time.time()
    said = remote.shell("facts.sh", state, *models, "--", *model_files).stdout
    sections = _sections(said)
    if sections.get("uid", "").strip() != "0":
        raise NotRootError(
            "only root on the host can see what has to be verified",
            hint="use ssh://root@HOST, or a user who may sudo without a password together with --sudo",
        )
    if sections.get("booted", "").strip() != "/run/systemd/system":
        raise NoSystemdError(
            "systemd does not run there, so nothing confines the servers and there is nothing to prove",
            hint="the embedded backend is told of by `genesis-stack status`, `drift` and `doctor`",
        )
    held: dict[str, list[int]] = {}
    for pid, inode in _pairs(sections.get("sockets", "")):
        held.setdefault(inode.removeprefix("socket:[").rstrip("]"), []).append(int(pid))
    return Facts(
        sections=sections,
        clock_offset=_offset(sections, before, time.time()),
        units=parse_show(sections.get("units", "")),
        unit_texts={model: sections.get(f"unit {model}", "") for model in models},
        exposures=dict(_exposures(sections, models)),
        generation=_generation(sections.get("generation", "")),
        generation_files=_generation_files(sections.get("generation-files", "")),
        model_files=_model_files(sections.get("model-files", ""), model_files),
        listening=tuple(_listening(sections.get("tcp", ""))),
        holders=held,
        processes=dict(_processes(sections, models)),
        namespaces=dict(_pairs(sections.get("namespaces 1", ""))),
    )


def _sections(text: str) -> dict[str, str]:
    found = {}
    for block in text.split(f"\n{SEPARATOR}")[1:]:
        name, _, answer = block.partition("\n")
        found[name] = answer
    return found


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        first, _, rest = line.partition(" ")
        if rest:
            yield first, rest.strip()


def _offset(sections: Mapping[str, str], before: float, after: float) -> float:
    """How far the host's clock is off, beyond what the time of the answer explains."""
    try:
        there = float(sections["clock"])
    except (KeyError, ValueError):
        return 0.0
    return there - min(max(there, before), after)


def _exposures(sections: Mapping[str, str], models: Iterable[str]) -> Iterator[tuple[str, float]]:
    for model in models:
        if found := EXPOSURE.search(sections.get(f"exposure {model}", "")):
            yield model, float(found[1])


def _generation(text: str) -> StoredGeneration | None:
    try:
        return StoredGeneration.model_validate_json(text)
    except ValueError:
        return None


def _generation_files(text: str) -> dict[str, FileFact]:
    found = {}
    for line in text.splitlines():
        path, tab, rest = line.partition("\t")
        if not tab:
            continue
        status, _, digest = rest.partition("\t")
        mode, _, owner = status.partition(" ")
        there = re.fullmatch(r"[0-7]+", mode)
        sha256 = digest.split()[0] if there else None
        found[path] = FileFact(path, int(mode, 8) if there else None, owner if there else None, sha256)
    return found


def _model_files(text: str, paths: Iterable[str]) -> dict[str, FileFact]:
    lines = text.splitlines()
    status = {line.split("\t")[0]: line.split("\t")[1:] for line in lines if line.count("\t") == 3}  # noqa: PLR2004 -- name, mode, owner, size
    digests = {line[66:]: line[:64] for line in lines if re.match(r"[0-9a-f]{64}  ", line)}
    found = {}
    for path in paths:
        if path in status:
            mode, owner, size = status[path]
            found[path] = FileFact(path, int(mode, 8), owner, digests.get(path), int(size))
        else:
            found[path] = FileFact(path, None, None, None)
    return found


def _listening(text: str) -> Iterator[Listening]:
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[3] == LISTEN:  # noqa: PLR2004 -- proc(5): the tenth is the inode
            address, _, port = fields[1].rpartition(":")
            yield Listening(_address(address), int(port, 16), fields[9])


def _address(words: str) -> str:
    """An address of /proc/net/tcp or tcp6: 32-bit words in the byte order of the processor (proc(5))."""
    from ipaddress import ip_address

    packed = b"".join(bytes.fromhex(words[at : at + 8])[::-1] for at in range(0, len(words), 8))
    return str(ip_address(packed))


def _processes(sections: Mapping[str, str], models: Iterable[str]) -> Iterator[tuple[str, Process]]:
    for model in models:
        status = sections.get(f"status {model}", "")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if "Pid" not in fields:
            continue
        yield (
            model,
            Process(
                pid=int(fields["Pid"]),
                status=fields,
                namespaces=dict(_pairs(sections.get(f"namespaces {model}", ""))),
                mounts=tuple(_mounts(sections.get(f"mounts {model}", ""))),
                limits=dict(_pairs(sections.get(f"limits {model}", ""))),
                listening=tuple(_listening(sections.get(f"tcp {model}", ""))),
                links=tuple(_links(sections.get(f"links {model}", ""))),
                rlimits=dict(_rlimits(sections.get(f"rlimits {model}", ""))),
            ),
        )


def _mounts(text: str) -> Iterator[Mount]:
    for line in text.splitlines():
        fields = line.split()
        if "-" in fields:
            yield Mount(fields[4], frozenset(fields[5].split(",")), fields[fields.index("-") + 1])


def _links(text: str) -> Iterator[str]:
    for line in text.splitlines():
        name, colon, _ = line.partition(":")
        if colon:
            yield name.strip()


def _rlimits(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        words = re.split(r"\s{2,}", line.strip())
        if len(words) >= 3:  # noqa: PLR2004 -- name, soft, hard
            yield words[0], words[1]
