"""What watches the models, rendered from the stack: rules with their tests, and configurations."""

from genesis_stack.render.monitoring.files import (
    alertmanager_path,
    cases_file,
    directory,
    external_paths,
    monitoring_files,
    prometheus_path,
    rules_path,
)

__all__ = [
    "alertmanager_path",
    "cases_file",
    "directory",
    "external_paths",
    "monitoring_files",
    "prometheus_path",
    "rules_path",
]
