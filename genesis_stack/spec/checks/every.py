"""All checks, in the order of the file's sections."""

from __future__ import annotations

from collections.abc import Iterator

from genesis_stack.spec.checks.clients import check_clients
from genesis_stack.spec.checks.finding import Declared, Finding
from genesis_stack.spec.checks.gateway import check_gateway
from genesis_stack.spec.checks.models import (
    check_directives,
    check_exposure,
    check_models,
    check_ports,
)
from genesis_stack.spec.checks.references import check_references
from genesis_stack.spec.checks.watching import check_alerts, check_monitoring
from genesis_stack.spec.model import Stack


def check(stack: Stack, declared: Declared) -> Iterator[Finding]:
    """What is wrong between the parts of a stack whose parts are valid by themselves."""
    yield from check_models(stack)
    yield from check_ports(stack)
    yield from check_exposure(stack, declared)
    yield from check_directives(("security",), stack.security)
    yield from check_references(stack, declared)
    yield from check_gateway(stack, declared)
    yield from check_clients(stack)
    yield from check_monitoring(stack, declared)
    yield from check_alerts(stack, declared)
