"""What a server tells about its requests: log lines and spans, with every value written out."""

from __future__ import annotations

from pathlib import PurePosixPath

from genesis_stack.protocol.serve_config import LogsConfig, TracingConfig
from genesis_stack.spec.monitoring import Logs, Tracing


def logs_config(logs: Logs) -> LogsConfig:
    """What is written about requests."""
    return LogsConfig(level=logs.level, content=logs.content)


def tracing_config(tracing: Tracing, directory: PurePosixPath) -> TracingConfig | None:
    """Where spans go, files to `directory`; None if tracing is off."""
    if tracing.exporter == "off":
        return None
    return TracingConfig(
        exporter=tracing.exporter,
        endpoint=tracing.endpoint,
        headers_secret=tracing.headers_secret,
        file=str(directory / "traces.jsonl") if tracing.exporter == "file" else None,
        sample=tracing.sample,
        content=tracing.content,
    )
