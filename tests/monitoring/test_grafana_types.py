"""Grafana's own types read every dashboard whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.queries import DASHBOARDS, dashboard

pytest.importorskip("grafana_foundation_sdk", reason="Grafana's types are for Python 3.11 and newer")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafana_knows_all_that_a_dashboard_says(path: Path) -> None:
    from tests.monitoring.grafana import faults

    assert faults(dashboard(path)) == []


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda whole: whole.update(refreshes="10s"), "dashboard.refreshes is lost"),
        (
            lambda whole: whole["panels"][1]["options"].update(colour="blue"),
            "dashboard.panels[1].options.colour is lost",
        ),
        (lambda whole: whole["panels"][1]["targets"][0].update(query="up"), "targets[0].query is lost"),
        (lambda whole: whole["panels"][1]["gridPos"].update(w="wide"), "panels[1].grid_pos.w is 'wide'"),
        (lambda whole: drawn(whole)["options"]["legend"].update(placement="left"), "legend.placement is 'left'"),
        (lambda whole: whole["templating"]["list"][0].update(type="source"), "list_val[0].type_val is 'source'"),
    ],
)
def test_what_grafana_does_not_know_is_found(spoil: Callable[[dict[str, Any]], None], found: str) -> None:
    from tests.monitoring.grafana import faults

    whole = dashboard(DASHBOARDS[0])
    spoil(whole)
    assert any(fault.endswith(found) for fault in faults(whole)), faults(whole)


def drawn(whole: dict[str, Any]) -> dict[str, Any]:
    """The first panel with a line."""
    return next(dict(panel) for panel in whole["panels"] if panel["type"] == "timeseries")
