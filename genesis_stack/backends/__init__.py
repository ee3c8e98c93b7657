"""How a host is observed and changed: one module a process manager, all behind one protocol."""

from genesis_stack.backends.interface import (
    SERVING,
    Backend,
    Desired,
    Foreign,
    Health,
    LintError,
    Listener,
    Monitor,
    Observation,
    ObservedService,
    Phase,
    Reader,
    Service,
)

__all__ = [
    "SERVING",
    "Backend",
    "Desired",
    "Foreign",
    "Health",
    "LintError",
    "Listener",
    "Monitor",
    "Observation",
    "ObservedService",
    "Phase",
    "Reader",
    "Service",
]
