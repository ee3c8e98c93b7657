"""Checks of a real host: `pytest infra_tests --stack stack.yaml --hosts ssh://root@HOST`."""

from __future__ import annotations

pytest_plugins = ["genesis_stack.verify.plugin"]
