"""Relations between the parts of a stack that no single field can hold."""

from genesis_stack.spec.checks.every import check
from genesis_stack.spec.checks.finding import Declared, Finding

__all__ = ["Declared", "Finding", "check"]
