"""A Grafana dashboard of the stack: a row a model with its promises and budget as limits, then everybody's.

Import it by hand, or put it where a provider of Grafana's file provisioning looks. The data source is a
variable, so that it fits any Grafana with a Prometheus that scrapes the stack.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from genesis_stack.layout import Layout
from genesis_stack.render.figures import HOST, MEMORY, MODEL, NOW, SECURITY, Figure
from genesis_stack.render.files import RenderedFile
from genesis_stack.render.monitoring import directory
from genesis_stack.spec.model import Model, Stack

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard, ThresholdsConfig
    from grafana_foundation_sdk.builders.prometheus import Dataquery
    from grafana_foundation_sdk.builders.stat import Panel as Stat
    from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries

NAME: Final = "grafana-dashboard.json"
"""Its name beside the other files for monitoring."""
ABOUT: Final = "Rendered from stack.yaml by `genesis-stack render`: change the stack, not this."

_JOB: Final = 'job="genesis"'
_WINDOW: Final = "$__rate_interval"
_WIDE: Final = 24
"""Columns of Grafana's grid."""


def grafana_file(stack: Stack, layout: Layout) -> RenderedFile | None:
    """The dashboard, which is committed and not installed; None for a stack without a Prometheus."""
    if stack.monitoring.prometheus is None:
        return None
    return RenderedFile(directory(layout) / NAME, dashboard(stack), 0o644, "")


def is_rendered(text: str) -> bool:
    """Whether a file is a dashboard that an earlier rendering left."""
    return ABOUT in text


def dashboard(stack: Stack) -> str:
    """The dashboard as JSON, with a stable order and identity, so that a second rendering is the same."""
    from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, Row
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    board = (
        Dashboard(f"genesis-stack: {stack.name}")
        .uid(f"genesis-{stack.name}"[:40])
        .description(ABOUT)
        .tags(["genesis-stack"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_row(Row("Now"))
    )
    for figure in NOW:
        board = board.with_panel(_stat(figure).span(_WIDE // len(NOW)).height(4))
    for name, model in stack.models.items():
        board = _plots(board.with_row(Row(name)), MODEL, f'{_JOB},model="{name}"', model)
    board = _plots(board.with_row(Row("Clients and security")), SECURITY, _JOB)
    board = _plots(board.with_row(Row("Host")), HOST, _JOB)
    built = board.build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number  # links to a panel stay valid
    return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def queries(text: str) -> Iterator[str]:
    """Every PromQL expression of a rendered dashboard."""
    for panel in json.loads(text)["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def _plots(
    board: Dashboard, figures: Iterable[Figure], selector: str, model: Model | None = None
) -> Dashboard:
    for figure in figures:
        panel = _series(figure, selector, None if model is None else _limit(figure, model))
        board = board.with_panel(panel.span(_WIDE // 4).height(7))
    return board


def _limit(figure: Figure, model: Model) -> float | None:
    """What the stack promises of a figure, or allows it."""
    if figure is MEMORY:
        return float(model.budget.memory)
    limit: float | None = getattr(model.slo, figure.slo) if figure.slo else None
    return limit


def _series(figure: Figure, selector: str, limit: float | None) -> TimeSeries:
    from grafana_foundation_sdk.builders.common import (
        GraphThresholdsStyleConfig,
        VizLegendOptions,
        VizTooltipOptions,
    )
    from grafana_foundation_sdk.builders.timeseries import Panel
    from grafana_foundation_sdk.models import common

    panel = (
        Panel()
        .title(figure.title)
        .description(figure.about)
        .unit(figure.unit)
        .min(0)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            VizLegendOptions()
            .show_legend(show_legend=True)
            .placement(common.LegendPlacement.BOTTOM)
            .display_mode(common.LegendDisplayMode.LIST)
        )
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .targets(list(_targets(figure, selector)))
    )
    if limit is None:
        return panel
    style = GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
    return panel.thresholds(_thresholds(limit)).thresholds_style(style)


def _stat(figure: Figure) -> Stat:
    from grafana_foundation_sdk.builders.stat import Panel
    from grafana_foundation_sdk.models.common import BigValueGraphMode

    panel = Panel().title(figure.title).unit(figure.unit).graph_mode(BigValueGraphMode.NONE)
    return panel.targets(list(_targets(figure, _JOB)))


def _targets(figure: Figure, selector: str) -> Iterator[Dataquery]:
    from grafana_foundation_sdk.builders.prometheus import Dataquery
    from grafana_foundation_sdk.models.dashboard import DataSourceRef

    source = DataSourceRef(type_val="prometheus", uid="${datasource}")
    for letter, line in zip("ABCDEFGH", figure.lines, strict=False):
        query = Dataquery().expr(line.query(selector, _WINDOW)).legend_format(line.legend)
        yield query.ref_id(letter).datasource(source)


def _thresholds(limit: float) -> ThresholdsConfig:
    from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
    from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

    steps = [Threshold(value=None, color="green"), Threshold(value=limit, color="red")]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
