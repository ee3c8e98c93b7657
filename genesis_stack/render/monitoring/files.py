"""The monitoring files of a stack at their places; all of them pure text, and none of them secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from genesis_stack.layout import Layout
from genesis_stack.render.files import RenderedFile
from genesis_stack.render.monitoring.alertmanager import SecretFile, alertmanager_document
from genesis_stack.render.monitoring.cases import cases_document
from genesis_stack.render.monitoring.prometheus import prometheus_document, targets_document
from genesis_stack.render.monitoring.rules import all_rules, rules_document
from genesis_stack.spec.model import Stack

ABOUT: Final = "# Rendered by genesis-stack: edit stack.yaml instead.\n"
RULES: Final = "genesis.rules.yml"
CASES: Final = "genesis.rules.test.yml"


def directory(layout: Layout) -> PurePosixPath:
    """Where the managed programs read their configurations."""
    return PurePosixPath(layout.config) / "monitoring"


def prometheus_path(layout: Layout) -> PurePosixPath:
    """The managed Prometheus's configuration."""
    return directory(layout) / "prometheus.yml"


def rules_path(layout: Layout) -> PurePosixPath:
    """The managed Prometheus's rules."""
    return directory(layout) / RULES


def alertmanager_path(layout: Layout) -> PurePosixPath:
    """The managed Alertmanager's configuration."""
    return directory(layout) / "alertmanager.yml"


def external_paths(stack: Stack) -> tuple[PurePosixPath, ...]:
    """Rules and targets of a Prometheus that runs already; none if the stack's own one is used."""
    prometheus = stack.monitoring.prometheus
    if (
        prometheus is None
        or prometheus.mode == "managed"
        or not (prometheus.rules_dir and prometheus.scrape_dir)
    ):
        return ()
    rules = PurePosixPath(prometheus.rules_dir) / f"{stack.name}.rules.yml"
    return rules, PurePosixPath(prometheus.scrape_dir) / f"{stack.name}.targets.yml"


def monitoring_files(stack: Stack, layout: Layout, owner: str, secret: SecretFile) -> Iterator[RenderedFile]:
    """Everything that the declared parts of monitoring read on the host."""
    prometheus, alertmanager = stack.monitoring.prometheus, stack.monitoring.alertmanager
    if prometheus is None:
        return
    rules = rules_document(all_rules(stack, prometheus.scrape_interval))
    if external := external_paths(stack):
        yield _file(external[0], rules, owner)
        yield _file(external[1], targets_document(stack, prometheus), owner)
    else:
        yield _file(rules_path(layout), rules, owner)
        yield _file(prometheus_path(layout), prometheus_document(stack, prometheus, RULES), owner)
    if alertmanager is not None and alertmanager.mode == "managed":
        document = alertmanager_document(alertmanager, secret, stack.gitops)
        yield _file(alertmanager_path(layout), document, owner)


def cases_file(stack: Stack, layout: Layout) -> RenderedFile | None:
    """The tests of the rules, which are committed beside them and not installed."""
    prometheus = stack.monitoring.prometheus
    if prometheus is None:
        return None
    step = prometheus.scrape_interval
    rules = external_paths(stack)[0].name if external_paths(stack) else RULES
    document = cases_document(all_rules(stack, step), rules, step)
    return _file(directory(layout) / CASES, document, "")


def _file(path: PurePosixPath, document: Any, owner: str) -> RenderedFile:
    return RenderedFile(path, ABOUT + as_yaml(document), 0o644, owner)


def as_yaml(document: Any) -> str:
    """YAML in the order of the document, one expression a line."""
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=10_000)


class _Plain(yaml.SafeDumper):
    """Without anchors: a reader should not have to look for what a file says twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- pyyaml's signature
        """Write everything out."""
        return True
