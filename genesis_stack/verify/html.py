"""The report as one HTML file without anything from elsewhere: evidence of every check, facts of the host."""

from __future__ import annotations

import time
from importlib.resources import files

from genesis_stack.verify.report import Report


def to_html(report: Report) -> str:
    """The whole report; everything that was read is escaped."""
    from jinja2 import Environment

    source = (files("genesis_stack.verify") / "report.html.j2").read_text()
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    started = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(report.started))
    return template.render(report=report, started=started)
