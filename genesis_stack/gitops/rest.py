"""Whether there is anything to do: asked by the timer each time, before the agent itself is started.

`python -I -S rest.py FILE` ends with 0 when all is at rest. Anything else, a crash included, means that the
agent must look closer. FILE was written by the agent at the end of its last run. Starting the agent costs
its host hundreds of milliseconds, this costs ten: only modules that are part of the interpreter are imported
here, `posix` and not `os`.

A line of FILE is one of

    until SECONDS               UNIX time from which on a closer look is due
    file SIGNATURE PATH         a file or a directory as it was
    process PID STARTED         a process, and when it was started, in clock ticks since the boot
    remote REVISION REF         what the last line's git must say
    git WORD…                   the words of the command that asks the remote, separated by tabs
"""

import posix
import sys
import time

AT_REST = 0
CHANGED = 1


def signature(path: str) -> str:
    """What changes when a file does, or the entries of a directory; `-` where there is nothing."""
    try:
        seen = posix.lstat(path)
    except OSError:
        return "-"
    return f"{seen.st_dev}:{seen.st_ino}:{seen.st_mode}:{seen.st_size}:{seen.st_ctime_ns}"


def started(pid: str) -> str:
    """When a process was started, in clock ticks since the boot (proc_pid_stat(5)); empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 -- pathlib takes longer to import
            return file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""


def said(words: list[str]) -> bytes:
    """What a program writes to its standard output; nothing when it fails."""
    reading, writing = posix.pipe()
    actions = [(posix.POSIX_SPAWN_DUP2, writing, 1), (posix.POSIX_SPAWN_CLOSE, reading)]
    environment = {**posix.environ, b"GIT_TERMINAL_PROMPT": b"0", b"LC_ALL": b"C.UTF-8"}
    pid = posix.posix_spawnp(words[0], words, environment, file_actions=actions)
    posix.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 -- a descriptor
        output = pipe.read()
    return output if posix.waitpid(pid, 0)[1] == 0 else b""


def holds(line: str, remote: list[str]) -> bool:
    """Whether one line is still true; a `remote` line is kept for the command that follows it."""
    kind, _, rest = line.partition(" ")
    if kind == "until":
        return time.time() < float(rest)
    if kind == "file":
        was, _, path = rest.partition(" ")
        return signature(path) == was
    if kind == "process":
        pid, _, was = rest.partition(" ")
        return started(pid) == was
    if kind == "remote":
        remote.append(rest.replace(" ", "\t"))
        return True
    return kind == "git" and said(rest.split("\t")).decode().split("\n") == [*remote, ""]


def at_rest(path: str) -> bool:
    """Whether every line holds; that somebody has looked is told by the file's time."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 -- as above
            lines = file.read().splitlines()
        remote: list[str] = []
        if not lines or not all(holds(line, remote) for line in lines):
            return False
        posix.utime(path)
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(AT_REST if at_rest(sys.argv[1]) else CHANGED)
