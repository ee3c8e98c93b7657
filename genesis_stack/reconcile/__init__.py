"""Observe, plan, apply, and the way back: the only room that changes a host."""
