"""Every program beside the models' servers: the gateway in front, and what watches."""

from __future__ import annotations

from collections.abc import Iterator

from genesis_stack.layout import Layout
from genesis_stack.render.files import Runtime
from genesis_stack.render.gateway.files import gateway_program
from genesis_stack.render.monitoring.programs import Kind, Program, watching_programs
from genesis_stack.spec.model import Stack


def programs(stack: Stack, layout: Layout, runtime: Runtime, kind: Kind) -> Iterator[Program]:
    """What must run on this host, in the order in which it starts."""
    yield from gateway_program(stack, layout, kind)
    yield from watching_programs(stack, layout, runtime, kind)
