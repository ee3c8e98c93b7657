"""What a confined server can and cannot do, tried from inside the very units that are rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from genesis_stack.layout import Layout
from genesis_stack.render import INSTALLED, as_declared
from genesis_stack.render.serve import config_path
from genesis_stack.render.systemd import render
from genesis_stack.spec.model import Stack
from hosts.nspawn import Host

pytestmark = pytest.mark.host

STACK = Stack.model_validate(
    {
        "api_version": "genesis.stack/v1",
        "name": "doors",
        "models": {
            name: {
                "port": port,
                "weights": {"source": "https://models.example/x.gguf", "sha256": digit * 64},
                "engine": {
                    "prefix_cache_ram": 1 << 20,
                    "prefix_cache_disk": 1 << 20,
                },
                "budget": {"memory": 100 << 20, "cpus": 0.5, "tasks": 16},
                "security": {"profile": profile},
            }
            for name, port, digit, profile in (
                ("strict", 8001, "a", "strict"),
                ("standard", 8002, "b", "standard"),
            )
        },
    }
)
LAYOUT = Layout.system()
CLIENT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=300) as peer:
    peer.sendall(sys.stdin.read().encode())
    peer.shutdown(socket.SHUT_WR)
    print(peer.makefile().read())
"""


@pytest.fixture(scope="module")
def doors(boot_host: Callable[[], AbstractContextManager[Host]]) -> Iterator[Host]:
    """A host with both profiles at work and something behind every door."""
    with boot_host() as host:
        server = (Path(__file__).parent / "probe_server.py").read_text()
        host.write(INSTALLED.genesis_serve, f"#!/usr/bin/python3 -u\n{server}", mode=0o755)
        for resolved in as_declared(STACK, LAYOUT).values():
            host.write(resolved.weights.path, "weights", mode=0o666)  # even a careless mode opens no door
        host.write("/root/secret", "secret")
        for file in render(STACK, as_declared(STACK, LAYOUT), LAYOUT, INSTALLED):
            host.write(file.path, file.content, mode=file.mode)
        host.run(["systemd-sysusers"])
        host.run(["systemd-tmpfiles", "--create", "genesis-stack.conf"])
        host.run(["systemd-run", "--unit=outside", "python3", "-m", "http.server", "9000"])
        host.systemctl("daemon-reload")
        host.systemctl("start", "strict-server.socket", "standard-server.socket")
        yield host


def inside(host: Host, model: str, source: str, *, check: bool = True) -> str:
    """Run Python inside the model's server, which the first connection starts; its value or its error."""
    port = str(STACK.models[model].port)
    return host.run(["python3", "-c", CLIENT, port], input_text=source, check=check).stdout.strip()


BOTH = ("strict", "standard")
CLOSED = [
    ("write to /etc", "open('/etc/mark', 'w')", "OSError: [Errno 30]"),
    ("write to /usr", "open('/usr/mark', 'w')", "OSError: [Errno 30]"),
    ("write to its weights", "open({weights!r}, 'r+')", "OSError: [Errno 30]"),
    ("write to its config", "open({config!r}, 'r+')", "PermissionError"),
    ("read root's files", "open('/root/secret')", "PermissionError"),
    ("read another model's weights", "open({other_weights!r})", "FileNotFoundError"),
    ("read another model's config", "open({other_config!r})", "FileNotFoundError"),
    ("see other processes", "open('/proc/1/cmdline')", "FileNotFoundError"),
    ("read the kernel's settings", "open('/proc/sys/kernel/osrelease')", "FileNotFoundError"),
    (
        "packet sockets",
        "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "OSError: [Errno 97]",
    ),
    (
        "netlink sockets",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "OSError: [Errno 97]",
    ),
    ("leave the machine", "import socket; socket.create_connection(('192.0.2.1', 80), 5)", "OSError"),
    ("memory to write and execute", "import mmap; mmap.mmap(-1, 4096, prot=7)", "PermissionError"),
    ("execute what it wrote in /tmp", "{drop}drop('/tmp')", "PermissionError"),
    ("execute what it wrote in /var/tmp", "{drop}drop('/var/tmp')", "PermissionError"),
    ("execute what it wrote in /dev/shm", "{drop}drop('/dev/shm')", "PermissionError"),
    (
        "execute what it wrote in its cache",
        "{drop}drop('/var/cache/genesis-stack/{model}')",
        "PermissionError",
    ),
    (
        "execute what it wrote in its logs",
        "{drop}drop('/var/log/genesis-stack/{model}')",
        "PermissionError",
    ),
    ("mount", "{libc}allowed(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))", "PermissionError"),
    ("trace a process", "{libc}allowed(libc.ptrace(0, 0, 0, 0))", "PermissionError"),
    ("a namespace of its own", "{libc}allowed(libc.unshare(0x10000000))", "PermissionError"),
    ("other CPUs than it was given", "import os; os.sched_setaffinity(0, [0])", "PermissionError"),
    ("more threads than its budget", "{threads}", "RuntimeError: can't start new thread"),
]
CLOSED_IN_STRICT = [
    (
        "this machine's network",
        "import socket; socket.create_connection(('127.0.0.1', 9000), 5)",
        "OSError: [Errno 97]",
    ),
    ("another port", "import socket; socket.create_server(('127.0.0.1', 9001))", "OSError: [Errno 97]"),
    ("the list of users", "open('/etc/passwd')", "FileNotFoundError"),
    ("the service manager", "open('/run/systemd/private')", "FileNotFoundError"),
    ("the system bus", "import os; os.stat('/run/dbus/system_bus_socket')", "FileNotFoundError"),
]
OPEN = [
    ("read its weights", "value = open({weights!r}).read()", "'weights'"),
    ("keep a prefix cache", "value = open('/var/cache/genesis-stack/{model}/x', 'w').write('kept')", "4"),
    ("keep an audit record", "value = open('/var/log/genesis-stack/{model}/x', 'a').write('kept')", "4"),
    ("use temporary files", "value = open('/tmp/x', 'w').write('temporary')", "9"),
    ("know its own memory", "value = int(open('/proc/self/statm').read().split()[1]) > 100", "True"),
    ("hand callbacks to C", "import ctypes; value = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)()", "7"),
]
SNIPPETS = {
    "libc": """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def allowed(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
""",
    "drop": """
import os, shutil, subprocess
def drop(directory):
    program = shutil.copy('/usr/bin/true', directory + '/program')
    os.chmod(program, 0o755)
    subprocess.run([program], check=True)
""",
    "threads": """
import threading
release = threading.Event()
try:
    for _ in range(17):
        threading.Thread(target=release.wait).start()
finally:
    release.set()
""",
}


def sources(model: str) -> dict[str, str]:
    """What the pieces of Python above are filled in with."""
    other = {"strict": "standard", "standard": "strict"}[model]
    declared = as_declared(STACK, LAYOUT)
    return SNIPPETS | {
        "model": model,
        "weights": declared[model].weights.path,
        "other_weights": declared[other].weights.path,
        "config": str(config_path(model, LAYOUT)),
        "other_config": str(config_path(other, LAYOUT)),
    }


@pytest.mark.parametrize(
    ("model", "source", "error"),
    [
        pytest.param(model, source, error, id=f"{model}: {door}")
        for model, doors in (("strict", [*CLOSED, *CLOSED_IN_STRICT]), ("standard", CLOSED))
        for door, source, error in doors
    ],
)
def test_a_door_is_closed(doors: Host, model: str, source: str, error: str) -> None:
    """The attempt is made from within the server and ends in the error of a confined process."""
    assert inside(doors, model, source.format(**sources(model))).startswith(error)


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize(("source", "value"), [pytest.param(*rest, id=door) for door, *rest in OPEN])
def test_what_a_server_needs_is_open(doors: Host, model: str, source: str, value: str) -> None:
    """A sandbox that keeps llama.cpp from working protects nothing."""
    assert inside(doors, model, source.format(**sources(model))) == value


def test_standard_reaches_its_own_machine(doors: Host) -> None:
    """That is what the profile is for: a collector or a proxy beside it."""
    source = "import socket; value = socket.create_connection(('127.0.0.1', 9000), 5).getpeername()[1]"
    assert inside(doors, "standard", source) == "9000"


@pytest.mark.parametrize("model", BOTH)
def test_effective_confinement_is_what_the_kernel_shows(doors: Host, model: str) -> None:
    """Read from the running process, since text in a unit file is no proof."""
    assert inside(doors, model, "value = 1") == "1"
    lines = doors.read(f"/proc/{main_pid(doors, model)}/status").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    assert status["NoNewPrivs"] == ["1"]
    assert status["Seccomp"] == ["2"]
    assert {status[name][0] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert int(status["Uid"][0]) >= 61184  # the range of dynamic users, see systemd.exec(5)


@pytest.mark.parametrize(("model", "promised"), [("strict", 0.2), ("standard", 1.0)])
def test_exposure_is_as_promised(doors: Host, model: str, promised: float) -> None:
    """The score that systemd gives the loaded unit; --threshold= is ten times the score."""
    unit = f"{model}-server.service"
    doors.run(["systemd-analyze", "security", f"--threshold={promised * 10:.0f}", unit])


@pytest.mark.parametrize("model", BOTH)
def test_memory_overrun_ends_this_server_alone_and_it_comes_back(doors: Host, model: str) -> None:
    """Above its own budget, though below the slice's: killed, started again, and no client is refused."""
    (other,) = set(BOTH) - {model}
    for started in BOTH:
        assert inside(doors, started, "value = 1") == "1"
    before, bystander = main_pid(doors, model), main_pid(doors, other)
    assert inside(doors, model, "kept = bytearray(b'x') * (150 << 20)", check=False) == ""
    doors.wait_for(lambda: main_pid(doors, model) not in {before, "0"}, what="the next server, unasked")
    assert inside(doors, model, "value = 1") == "1"
    assert main_pid(doors, other) == bystander


def main_pid(host: Host, model: str) -> str:
    """The server's process id in its host; 0 if there is none."""
    return host.show(f"{model}-server.service", "MainPID")["MainPID"]
