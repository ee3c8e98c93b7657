"""The report of a load test: one HTML page, the run as JSON for a later baseline, and a Markdown summary."""

from __future__ import annotations

import time
from collections import Counter
from importlib.resources import files
from pathlib import Path

from genesis_stack.loadtest.series import plots
from genesis_stack.loadtest.setting import Setting
from genesis_stack.loadtest.verdict import Verdict, as_markdown


def write_report(found: Verdict, setting: Setting, path: Path) -> None:
    """Write the page to `path`, the run and the summary beside it with the endings .json and .md."""
    path.with_suffix(".json").write_text(found.record.model_dump_json() + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(as_markdown(found), encoding="utf-8")
    path.with_suffix(".html").write_text(as_html(found, setting), encoding="utf-8")


def as_html(found: Verdict, setting: Setting) -> str:
    """The page, with nothing from elsewhere; everything that servers said is escaped."""
    from jinja2 import Environment

    source = (files("genesis_stack.loadtest") / "report.html.j2").read_text()
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    record = found.record
    return template.render(
        found=found,
        record=record,
        profile=setting.profile,
        started=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record.started)),
        plots={model: list(plots(record, model)) for model in record.models},
        errors={model: _errors(found, model) for model in record.models},
    )


def _errors(found: Verdict, model: str) -> list[tuple[str, int]]:
    """Reasons of failure, the most frequent first."""
    reasons = [one.error for one in found.record.measured(model) if one.error is not None]
    return Counter(reasons).most_common()
