"""Real faults of a real host, and the cause that `doctor` finds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import pytest

from genesis_stack.doctor.diagnose import THROTTLED_SECONDS
from verify.pair import Pair
from verify.sabotages import (
    CONFIG,
    STATE,
    command,
    full_disk,
    gone,
    ready,
    replaced,
    stranger,
)

pytestmark = [pytest.mark.host, pytest.mark.model]

SERVER: Final = "text-server.service"
SOCKET: Final = "text-server.socket"
METRICS: Final = (
    "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
)


@dataclass(frozen=True)
class Fault:
    """What is broken, what is found, and a word of the fix; `undo` is for what an apply does not heal."""

    do: Callable[[Pair], None]
    cause: str
    fix: str
    target: str = "text"
    undo: Callable[[Pair], None] = Pair.heal


def failing(*lines: str) -> Callable[[Pair], None]:
    """A change with which the server does not start again."""

    def do(pair: Pair) -> None:
        pair.host.write(f"/etc/systemd/system/{SERVER}.d/fault.conf", "\n".join(["[Service]", *lines, ""]))
        pair.host.systemctl("daemon-reload")
        dies(pair)

    return do


def dies(pair: Pair) -> None:
    """Start the server and see it end."""
    before = pair.host.show(SERVER, "InvocationID")["InvocationID"]
    pair.host.systemctl("restart", "--no-block", SERVER)

    def died_anew() -> bool:
        now = pair.host.show(SERVER, "InvocationID", "NRestarts")
        return now["InvocationID"] != before and int(now["NRestarts"]) > 0

    pair.host.wait_for(died_anew, what="the server fails")


def stopped(pair: Pair) -> None:
    """Server and port."""
    pair.host.systemctl("stop", SERVER, SOCKET)


def taken(pair: Pair) -> None:
    """Somebody else is quicker."""
    stopped(pair)
    stranger("python3", "-m", "http.server", "8000", "--bind", "127.0.0.1")(pair)


def freed(pair: Pair) -> None:
    """The stranger leaves, and we are back."""
    gone(pair)
    pair.heal()


def unreadable(pair: Pair) -> None:
    """The server may not read its own config."""
    pair.host.run(["chmod", "000", CONFIG])
    dies(pair)


def from_the_future(pair: Pair) -> None:
    """As it looks after the clock was set back: the last apply has not happened yet."""
    path = f"{pair.host.run(['readlink', '-f', f'{STATE}/current']).stdout.strip()}/result.json"
    result = json.loads(pair.host.read(path))
    pair.host.write("/run/result.json", json.dumps(result))
    pair.host.write(path, json.dumps(result | {"finished": result["finished"] + 86_400}))


def present_again(pair: Pair) -> None:
    """The clock is right."""
    path = f"{pair.host.run(['readlink', '-f', f'{STATE}/current']).stdout.strip()}/result.json"
    pair.host.write(path, pair.host.read("/run/result.json"))


def starved(pair: Pair) -> None:
    """A tenth of a processor, and something to do."""
    pair.host.systemctl("set-property", "--runtime", SERVER, "CPUQuota=10%")
    while held_back(pair) < THROTTLED_SECONDS * 2:
        pair.chat("text", tokens=24)


def held_back(pair: Pair) -> float:
    """Seconds that the server has waited for its quota."""
    told = pair.host.run(["python3", "-c", METRICS]).stdout
    return float(re.findall(r"^genesis_cpu_throttled_seconds_total(?:{.*})? (\S+)$", told, re.MULTILINE)[0])


def greedy(pair: Pair) -> None:
    """More requests than the client may make in a minute."""
    pair.list_models(times=100)


FAULTS: Final[Mapping[str, Fault]] = {
    "the model file is gone": Fault(command("rm", "-f", "{text}"), "model missing", "genesis-stack apply"),
    "a stranger has the port": Fault(taken, "port taken", "kill ", undo=freed),
    "the disk is full": Fault(
        full_disk, "disk full", "models gc", target=STATE, undo=command("rm", f"{STATE}/ballast")
    ),
    "instructions that the processor lacks": Fault(
        failing("ExecStart=", "ExecStart=/bin/sh -c 'kill -ILL $$$$'"), "wrong CPU build", "GGML_NATIVE"
    ),
    "too little memory": Fault(failing("MemoryMax=60M"), "out of memory", "models.text.budget.memory"),
    "a file that may not be read": Fault(unreadable, "permission denied", CONFIG),
    "a clock that was set back": Fault(
        from_the_future, "clock skew", "timesyncd", target="this machine", undo=present_again
    ),
    "a stopped server": Fault(stopped, "connection refused", "genesis-stack apply"),
    "an edited unit": Fault(
        replaced(f"/etc/systemd/system/{SERVER}", "NoNewPrivileges=yes", "NoNewPrivileges=no"),
        "drift",
        "genesis-stack apply",
        target=f"/etc/systemd/system/{SERVER}",
    ),
    "too little processor": Fault(starved, "slow", "models.text.budget.cpus"),
    "a client that asks too often": Fault(greedy, "rate limited", "clients.verifier.requests_per_minute"),
}
"""All of them by name; the last leaves counters behind that only a new process forgets."""


def diagnosis(pair: Pair, code: int) -> list[dict[str, str]]:
    """What `doctor --json` finds."""
    done = pair.cli("doctor", "--json", check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    found: list[dict[str, str]] = json.loads(done.stdout)["findings"]
    return found


def test_nothing_ails_a_good_host(pair: Pair) -> None:
    """No finding, exit code 0, one line."""
    pair.host.systemctl("restart", SERVER, "plan-server.service")
    ready(pair)
    assert diagnosis(pair, 0) == []
    assert len(pair.cli("doctor").stdout.splitlines()) == 1


@pytest.mark.parametrize("name", FAULTS)
def test_the_cause_is_found_with_its_fix(name: str, pair: Pair) -> None:
    """The right cause, of the right model, with what to type."""
    fault = FAULTS[name]
    fault.do(pair)
    try:
        found = [one for one in diagnosis(pair, 6) if one["cause"] == fault.cause]
        (one,) = [one for one in found if one["target"] == fault.target]
        assert fault.fix in one["fix"]
        assert one["evidence"]
    finally:
        fault.undo(pair)
