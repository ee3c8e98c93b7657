"""Runs inside a server's own sandbox and tries what must fail; prints the end of each attempt as JSON.

The one argument is a JSON object: `own` and `others` are lists of model files and configs, `visible` what
the sandbox shows on purpose, `tasks` the declared number of tasks. Each attempt runs in a child of its own,
so that one which succeeds harms no other. The answer maps its name to `done`, or to the name of the errno
that ended it, and to what was said.
"""

import ctypes
import errno
import json
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

TRY_SECONDS = 8
PTRACE_TRACEME = 0
CLONE_NEWUSER = 0x10000000


def libc() -> ctypes.CDLL:
    """The C library, for calls that Python has no name for."""
    return ctypes.CDLL(None, use_errno=True)


def allowed(result: int) -> None:
    """Raise what a C function reports as failure."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def connect_out(_: Any) -> None:
    """To an address that is reserved for documentation (RFC 5737): nobody is bothered."""
    with socket.create_connection(("192.0.2.1", 80), 3):
        pass


def open_a_port(_: Any) -> None:
    """Any free one."""
    socket.create_server(("127.0.0.1", 0)).close()


def write_to_etc(_: Any) -> None:
    """A file that would be removed at once."""
    _write("/etc/genesis-verify")


def write_to_usr(_: Any) -> None:
    """Likewise."""
    _write("/usr/genesis-verify")


def _write(path: str) -> None:
    with open(path, "x"):
        os.unlink(path)


def write_to_its_weights(facts: Any) -> None:
    """Opened for writing; nothing is written."""
    for path in facts["own"]:
        with open(path, "r+b"):
            pass


def read_homes(facts: Any) -> None:
    """Whatever is there beyond what the sandbox shows on purpose."""
    for home in ("/root", "/home"):
        try:
            entries = os.listdir(home)
        except OSError as error:
            refused = error
            continue
        if [entry for entry in entries if not any(f"{home}/{entry}" in path for path in facts["visible"])]:
            return
        refused = OSError(errno.ENOENT, f"{home} shows nothing")
    raise refused


def read_other_models(facts: Any) -> None:
    """The first that opens is one too many."""
    for path in facts["others"]:
        try:
            with open(path, "rb"):
                return
        except OSError as error:
            refused = error
    raise refused


def read_the_state(facts: Any) -> None:
    """What genesis-stack knows of the host."""
    os.stat(facts["state"])


def see_other_processes(_: Any) -> None:
    """Process 1 is always there."""
    with open("/proc/1/cmdline", "rb"):
        pass


def trace_a_process(_: Any) -> None:
    """ptrace(2)."""
    allowed(libc().ptrace(PTRACE_TRACEME, 0, 0, 0))


def mount_something(_: Any) -> None:
    """mount(2); it ends with the sandbox."""
    allowed(libc().mount(b"none", b"/tmp", b"tmpfs", 0, None))


def make_a_namespace(_: Any) -> None:
    """unshare(2)."""
    allowed(libc().unshare(CLONE_NEWUSER))


def write_and_execute_memory(_: Any) -> None:
    """One page that is both."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def execute_what_it_wrote(_: Any) -> None:
    """A program of its own making, wherever it may write."""
    refused: OSError = OSError(errno.EROFS, "it may write nowhere")
    for directory in ("/tmp", "/var/tmp", "/dev/shm"):
        program = f"{directory}/genesis-verify"
        try:
            shutil.copyfile("/usr/bin/true", program)
            os.chmod(program, 0o700)
            subprocess.run([program], check=True)
        except OSError as error:
            refused = error
        else:
            return
    raise refused


def have_too_many_tasks(facts: Any) -> None:
    """Threads until the limit says no."""
    release = threading.Event()
    try:
        for _ in range(facts["tasks"] + 1):
            threading.Thread(target=release.wait, daemon=True).start()
    except RuntimeError as error:  # what Python makes of EAGAIN of clone(2)
        raise OSError(errno.EAGAIN, str(error)) from None
    finally:
        release.set()


ATTEMPTS: tuple[Callable[[Any], None], ...] = (
    connect_out,
    open_a_port,
    write_to_etc,
    write_to_usr,
    write_to_its_weights,
    read_homes,
    read_other_models,
    read_the_state,
    see_other_processes,
    trace_a_process,
    mount_something,
    make_a_namespace,
    write_and_execute_memory,
    execute_what_it_wrote,
    have_too_many_tasks,
)


def end_of(attempt: Callable[[Any], None], facts: Any) -> list[str]:
    """How an attempt ends, told by a child through a pipe."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(TRY_SECONDS)
        os.write(writing, json.dumps(_try(attempt, facts)).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else ["killed", f"no end after {TRY_SECONDS} s, or killed"]


def _try(attempt: Callable[[Any], None], facts: Any) -> list[str]:
    try:
        attempt(facts)
    except OSError as error:
        return [errno.errorcode.get(error.errno or 0, "unknown"), str(error)]
    except Exception as error:  # noqa: BLE001 -- whatever ends it is the finding
        return [type(error).__name__, str(error)]
    return ["done", "it succeeded"]


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    print(json.dumps({attempt.__name__: end_of(attempt, told) for attempt in ATTEMPTS}))  # noqa: T201 -- its output
