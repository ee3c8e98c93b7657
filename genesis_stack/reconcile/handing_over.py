"""Has running servers take up keys that have changed."""

from __future__ import annotations

from genesis_stack.backends import Phase
from genesis_stack.reconcile.apply import Host
from genesis_stack.reconcile.health import gate, see_reread


def hand_over(host: Host, secret: str | None) -> None:
    """See changed keys arrive at every running server; those that were handed the old `secret` restart.

    Raises:
        GateError: a server does not come back, or does not read who may call.
    """
    generations = host.transaction.generations
    services = generations.load(generations.current()).services
    seen = host.backend.processes(services)
    for model, service in services.items():
        if not service.reread or seen[model].phase is not Phase.RUNNING:
            continue
        if secret in service.secrets and host.backend.hands_over_secrets:
            host.say(f"restarting {model}: the manager hands secrets over at the start; its clients queue")
            host.backend.restart(service)
            gate([service], host.backend, lambda model, status: host.say(f"{model}: {status}"))
        see_reread(service, host.backend)
        host.say(f"{model}: in force")
