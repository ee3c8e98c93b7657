"""The audit record: who did what, when and with what outcome, chained and kept."""

from __future__ import annotations

from genesis_stack.server.audit.trail import AuditTrail, open_trail

__all__ = ["AuditTrail", "open_trail"]
