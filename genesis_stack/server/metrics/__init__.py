"""What a server counts and measures; docs/metrics.md lists every name."""

from genesis_stack.server.metrics.registry import Metrics

__all__ = ["Metrics"]
