"""Dashboards are as Grafana wants them, and ask for nothing that is not there."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import metrics_reference
from tests.monitoring.conftest import Promtool
from tests.monitoring.queries import DASHBOARDS, Query, dashboard, panel_queries, rules

by_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24


def panels(path: Path) -> list[dict[str, Any]]:
    return list(dashboard(path)["panels"])


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    place = panel["gridPos"]
    columns = range(place["x"], place["x"] + place["w"])
    return {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}


def test_there_is_one_for_each_question() -> None:
    assert {path.stem for path in DASHBOARDS} == {"overview", "engine", "capacity", "models"}
    assert len({dashboard(path)["uid"] for path in DASHBOARDS}) == len(DASHBOARDS)


@by_dashboard
def test_the_frame_is_whole(path: Path) -> None:
    whole = dashboard(path)
    assert whole["schemaVersion"] >= 39
    assert whole["title"]
    assert whole["description"]
    assert len(whole["uid"]) <= 40
    assert whole["time"].keys() == {"from", "to"}
    variables = {each["name"]: each for each in whole["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for name in variables.keys() - {"datasource"}:
        assert variables[name]["datasource"] == DATASOURCE
        assert variables[name]["query"].startswith("label_values(whisper_gateway_")


@by_dashboard
def test_panels_have_numbers_and_places_of_their_own(path: Path) -> None:
    all_panels = panels(path)
    assert len({panel["id"] for panel in all_panels}) == len(all_panels)
    for one, other in combinations(all_panels, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
    assert all(0 <= x < COLUMNS for panel in all_panels for x, _ in cells(panel))


@by_dashboard
def test_every_panel_says_what_it_shows(path: Path) -> None:
    drawn = [panel for panel in panels(path) if panel["type"] != "row"]
    assert len(drawn) >= 10
    for panel in drawn:
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == DATASOURCE
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters) > 0
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"])


def test_names_of_metrics_are_found_in_queries() -> None:
    text = 'sum by (a, b) (rate(x_total{c="d(e)"}[5m])) / on (f) group_left () y:z or 2e3 * max(w) > bool 1'
    assert Query("", text).metrics == {"x_total", "y:z", "w"}


def test_queries_use_only_metrics_that_are_there() -> None:
    there = metrics_reference.series() | {rule["record"] for rule in rules("record")}
    queries = list(panel_queries())
    assert len(queries) > 80
    for query in queries:
        assert query.metrics, query.place
        assert query.metrics <= there, (query.place, query.metrics - there)


@pytest.mark.monitoring
def test_queries_are_promql(promtool: Promtool, tmp_path: Path) -> None:
    records = [{"record": f"panel:{number}", "expr": query.text} for number, query in enumerate(panel_queries())]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}), "utf-8")
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(records)} rules found" in done.stdout
