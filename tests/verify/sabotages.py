"""Ways to break a good host, each with the checks that must find it, and no others.

A check is named as in the report, with the model that it is about, if any: `text: memory_limit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from verify.pair import Pair

SERVICE: Final = "/etc/systemd/system/text-server.service"
CONFIG: Final = "/etc/genesis-stack/models/text.json"
STATE: Final = "/var/lib/genesis-stack"
DRIFT: Final = "plan_has_nothing_to_do"
DROP_IN: Final = "text: no_foreign_drop_ins"


@dataclass(frozen=True)
class Sabotage:
    """What is done, and what must be found; `undo` is for what an apply does not heal."""

    do: Callable[[Pair], None]
    found: frozenset[str]
    undo: Callable[[Pair], None] = Pair.heal


def drop_in(
    *lines: str, unit: str = "text-server.service", section: str = "Service"
) -> Callable[[Pair], None]:
    """As `systemctl edit` does it, and a restart so that it holds."""

    def do(pair: Pair) -> None:
        content = "\n".join([f"[{section}]", *lines, ""])
        pair.host.write(f"/etc/systemd/system/{unit}.d/override.conf", content)
        pair.host.systemctl("daemon-reload")
        if unit != "genesis.slice":
            pair.host.systemctl("restart", unit)
        ready(pair)

    return do


def ready(pair: Pair) -> None:
    """Wait until the server answers again."""
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/health').read().decode())"
    pair.host.wait_for(
        lambda: '"ready"' in pair.host.run(["python3", "-c", ask], check=False).stdout, what="the server"
    )


def replaced(path: str, old: str, new: str) -> Callable[[Pair], None]:
    """An editor on a file."""

    def do(pair: Pair) -> None:
        content = pair.host.read(path)
        assert old in content
        pair.host.write(path, content.replace(old, new))

    return do


def command(*words: str) -> Callable[[Pair], None]:
    """One command; `{text}` stands for the model file."""

    def do(pair: Pair) -> None:
        pair.host.run([word.format(text=pair.weights("text")) for word in words])

    return do


def limit(setting: str) -> Callable[[Pair], None]:
    """As an administrator does it in a hurry: in force at once, gone after a boot."""
    return command("systemctl", "set-property", "--runtime", "text-server.service", setting)


def flipped_bit(pair: Pair) -> None:
    """One byte of the weights."""
    words = ["dd", f"of={pair.weights('text')}", "bs=1", "seek=50000000", "conv=notrunc"]
    pair.host.run(words, input_text="\0")


def other_config(pair: Pair) -> None:
    """The server is started with another config, and the file put back."""
    original = pair.host.read(CONFIG)
    replaced(CONFIG, '"parallel": 2', '"parallel": 3')(pair)
    pair.host.systemctl("restart", "text-server.service")
    ready(pair)
    pair.host.write(CONFIG, original)


def restart(pair: Pair) -> None:
    """What heals a server that is not the one applied."""
    pair.host.systemctl("restart", "text-server.service")
    ready(pair)


def stranger(*words: str) -> Callable[[Pair], None]:
    """A process of somebody else's, listening."""

    def do(pair: Pair) -> None:
        pair.host.run(["systemd-run", "--unit=stranger", *words])
        port = words[words.index("http.server") + 1]
        pair.host.wait_for(
            lambda: "python3" in pair.host.run(["ss", "-Hltnp", f"sport = :{port}"]).stdout,
            what="the stranger",
        )

    return do


def gone(pair: Pair) -> None:
    """The stranger leaves."""
    pair.host.systemctl("stop", "stranger.service")


def full_disk(pair: Pair) -> None:
    """A file takes what is left."""
    free = pair.host.run(["df", "--output=avail", "-B1", STATE]).stdout.split()[-1]
    pair.host.run(["fallocate", "-l", str(int(free) - (8 << 20)), f"{STATE}/ballast"])


def with_drop_in(*found: str) -> frozenset[str]:
    """Whatever a drop-in does, it is foreign, and an apply would set it aside."""
    return frozenset({DROP_IN, DRIFT, *(f"text: {name}" for name in found)})


SABOTAGES: Final[Mapping[str, Sabotage]] = {
    "edited unit": Sabotage(
        replaced(SERVICE, "NoNewPrivileges=yes", "NoNewPrivileges=no"),
        frozenset({"files_are_as_rendered", "text: manager_has_read_the_files", DRIFT}),
    ),
    "edited config": Sabotage(
        replaced(CONFIG, '"parallel": 2', '"parallel": 3'), frozenset({"files_are_as_rendered", DRIFT})
    ),
    "started with another config": Sabotage(
        other_config, frozenset({"text: who_answers_is_who_was_applied"}), restart
    ),
    "network for the server": Sabotage(
        drop_in("PrivateNetwork=no", "RestrictAddressFamilies=AF_INET AF_UNIX", "IPAddressDeny="),
        with_drop_in("namespaces", "own_network_is_empty", "connect_out", "open_a_port", "exposure"),
    ),
    "lifted memory limit": Sabotage(limit("MemoryMax=infinity"), with_drop_in("memory_limit")),
    "lifted CPU limit": Sabotage(limit("CPUQuota="), with_drop_in("cpu_limit")),
    "lifted task limit": Sabotage(
        limit("TasksMax=infinity"), with_drop_in("tasks_limit", "have_too_many_tasks")
    ),
    "ptrace allowed": Sabotage(
        drop_in("SystemCallFilter=ptrace"), with_drop_in("trace_a_process", "exposure")
    ),
    "a capability": Sabotage(drop_in("CapabilityBoundingSet=CAP_NET_RAW"), with_drop_in("no_capabilities")),
    "runs as root": Sabotage(
        drop_in("DynamicUser=no", "User=root"), with_drop_in("user", "see_other_processes", "exposure")
    ),
    "executable memory": Sabotage(
        drop_in("MemoryDenyWriteExecute=no"), with_drop_in("write_and_execute_memory")
    ),
    "namespaces allowed": Sabotage(
        drop_in("RestrictNamespaces=no", "SystemCallFilter=unshare"),
        with_drop_in("make_a_namespace", "exposure"),
    ),
    "executable temporary files": Sabotage(
        drop_in("NoExecPaths="), with_drop_in("execute_what_it_wrote", "mounts")
    ),
    "sees the model store": Sabotage(
        drop_in(f"BindReadOnlyPaths={STATE}/models"), with_drop_in("read_other_models")
    ),
    "sees other processes": Sabotage(
        drop_in("ProtectProc=default", "ProcSubset=all"), with_drop_in("see_other_processes", "exposure")
    ),
    "core dumps": Sabotage(drop_in("LimitCORE=infinity"), with_drop_in("no_core_dumps")),
    "survives out of memory in part": Sabotage(drop_in("OOMPolicy=continue"), with_drop_in("oom_policy")),
    "slice without limits": Sabotage(
        drop_in("MemoryMax=infinity", unit="genesis.slice", section="Slice"),
        frozenset({"no_foreign_drop_ins_for_all", DRIFT}),
    ),
    "model that everybody may write": Sabotage(
        command("chmod", "666", "{text}"), frozenset({"text: owner_and_mode", DRIFT})
    ),
    "flipped bit": Sabotage(flipped_bit, frozenset({"text: digest", DRIFT})),
    "longer model": Sabotage(
        command("sh", "-c", "echo more >> {text}"), frozenset({"text: size", "text: digest", DRIFT})
    ),
    "missing model": Sabotage(
        command("rm", "-f", "{text}"), frozenset({"text: size", "text: sandbox_can_be_entered", DRIFT})
    ),
    "extra listener": Sabotage(
        drop_in("ListenStream=0.0.0.0:9999", unit="text-server.socket", section="Socket"),
        with_drop_in("socket_listens_where_declared") | {"no_other_listener_of_ours"},
    ),
    "open to the network": Sabotage(
        drop_in("ListenStream=", "ListenStream=0.0.0.0:8000", unit="text-server.socket", section="Socket"),
        with_drop_in("socket_listens_where_declared", "port_is_ours"),
    ),
    "stranger on the port": Sabotage(
        stranger("python3", "-m", "http.server", "8000", "--bind", "::1"),
        frozenset({"text: port_is_ours", DRIFT}),
        gone,
    ),
    "listener among the models": Sabotage(
        stranger("--slice=genesis.slice", "python3", "-m", "http.server", "9999"),
        frozenset({"no_other_listener_of_ours"}),
        gone,
    ),
    "disabled socket": Sabotage(
        command("systemctl", "disable", "text-server.socket"), frozenset({"text: enabled", DRIFT})
    ),
    "stopped server": Sabotage(
        command("systemctl", "stop", "text-server.service"), frozenset({"text: active", DRIFT})
    ),
    "stopped socket": Sabotage(
        command("systemctl", "stop", "text-server.socket", "text-server.service"),
        frozenset({"text: active", "text: socket_active", DRIFT}),
    ),
    "interrupted change": Sabotage(
        command("touch", f"{STATE}/journal.json"),
        frozenset({"no_change_is_under_way", DRIFT}),
        command("rm", f"{STATE}/journal.json"),
    ),
    "no generation in force": Sabotage(
        command("rm", f"{STATE}/current"),
        frozenset({"generation_is_of_this_stack", "files_are_as_rendered", DRIFT}),
    ),
    "secret that everybody may read": Sabotage(
        command("chmod", "644", "/etc/genesis-stack/secrets/verifier-key"),
        frozenset({"secret_files"}),
        command("chmod", "600", "/etc/genesis-stack/secrets/verifier-key"),
    ),
    "secrets that everybody may replace": Sabotage(
        command("chmod", "777", "/etc/genesis-stack/secrets"),
        frozenset({"secret_files"}),
        command("chmod", "755", "/etc/genesis-stack/secrets"),
    ),
    "full disk": Sabotage(full_disk, frozenset({"disk"}), command("rm", f"{STATE}/ballast")),
}
"""All of them by name."""


def violated(report: Mapping[str, object]) -> Iterator[str]:
    """The checks of a report that found something, named as above."""
    findings = report["findings"]
    assert isinstance(findings, Sequence)
    for one in findings:
        if one["outcome"] == "violated":
            yield f"{one['model']}: {one['check']}" if one["model"] else one["check"]
