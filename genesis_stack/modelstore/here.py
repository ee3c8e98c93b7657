"""Which of a stack's hosts this machine is."""

from __future__ import annotations

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.modelstore.host import LocalHost
from genesis_stack.spec import hosts
from genesis_stack.spec.model import Stack


class NotAHostError(GenesisError):
    """The stack names its hosts, and this machine is none of them, or more than one."""

    exit_code = ExitCode.INVALID_CONFIG


def host_here(stack: Stack, machine: LocalHost) -> str | None:
    """The name of this machine in `hosts` of the stack; None for a stack that names no hosts.

    Raises:
        NotAHostError: it is none of them, or several entries fit it.
    """
    if not stack.hosts:
        return None
    found = [name for name, entry in stack.hosts.items() if is_machine(name, entry, machine)]
    match found:
        case [name]:
            return name
        case []:
            known = ", ".join(f"{name} ({_sign(name, entry)})" for name, entry in stack.hosts.items())
            raise NotAHostError(
                f"this machine is no host of stack {stack.name}: its host name is {machine.hostname}, its "
                f"machine id {machine.machine_id or 'unknown'}",
                hint=f"the stack names {known}; add this machine to `hosts`, or go to one of them",
            )
        case _:
            raise NotAHostError(
                f"this machine is several hosts of stack {stack.name}: {', '.join(found)}",
                hint="give each its machine_id",
            )


def is_machine(name: str, entry: hosts.Host, machine: LocalHost) -> bool:
    """Whether an entry of `hosts` means this machine: by its machine id where it has one, else by its name.

    Names are compared as DNS does, without regard to case.
    """
    if entry.machine_id is not None:
        return entry.machine_id == machine.machine_id
    return (entry.hostname or name).lower() == machine.hostname.lower()


def _sign(name: str, entry: hosts.Host) -> str:
    if entry.machine_id is not None:
        return f"machine id {entry.machine_id}"
    return f"host name {entry.hostname or name}"
