"""Rules are right, every alert fires and clears, and has a page that tells what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from scripts import metrics_reference
from tests.monitoring.conftest import Promtool
from tests.monitoring.queries import CASES, ROOT, RULES, RUNBOOKS, rule_queries, rules
from whisper_serve.gateway.failures import StorageFailed

ALERTS = [rule["alert"] for rule in rules("alert")]
CHAPTERS = ["What it means", "What users see", "How to check", "What to do", "How to prevent it"]


def test_rules_use_only_metrics_that_are_there() -> None:
    there = metrics_reference.series() | {rule["record"] for rule in rules("record")}
    for query in (*rule_queries("record"), *rule_queries("alert")):
        assert query.metrics, query.place
        assert query.metrics <= there, (query.place, query.metrics - there)


def test_every_series_of_ours_is_bound_to_the_release() -> None:
    """Else a rule of one release would speak of another: see the head of the file."""
    for query in (*rule_queries("record"), *rule_queries("alert")):
        ours = len(
            re.findall(r"\b(?:whisper[_:]\w|process_|GPUMemory)", re.sub(r"\bwhisper_serve_model\b", "", query.text))
        )
        assert query.text.count('namespace=~".*"') >= ours > 0 or not ours, query.place


@pytest.mark.parametrize("rule", rules("alert"), ids=ALERTS)
def test_an_alert_says_all(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    notes = rule["annotations"]
    assert notes["summary"].endswith(".")
    assert notes["description"].endswith(".")
    assert notes["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    page = (ROOT / notes["runbook_url"]).read_text("utf-8")
    assert page.startswith(f"# {rule['alert']}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == CHAPTERS
    assert "```" in page


def test_no_page_is_left_over_and_no_link_is_dead() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(ALERTS)
    for path in RUNBOOKS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
            assert (path.parent / link).exists(), (path.name, link)
    index = (RUNBOOKS / "README.md").read_text("utf-8")
    assert [name for name in ALERTS if f"({name}.md)" not in index] == []


def test_what_users_see_of_a_full_disk_is_what_the_gateway_answers() -> None:
    page = (RUNBOOKS / "WhisperSpoolDisk.md").read_text("utf-8")
    seen = page.split("## What users see")[1].split("##")[0]
    assert re.findall(r"\b[45]\d\d\b", seen) == [str(StorageFailed.status)]
    assert f"`{StorageFailed.code}`" in seen


def test_every_alert_is_tried() -> None:
    """Each has a case of its own in which it is silent, fires, and is silent again."""
    tried = {case["name"]: case["promql_expr_test"] for case in yaml.safe_load(CASES.read_text("utf-8"))["tests"]}
    assert [name for name in ALERTS if name not in tried] == []
    for name in ALERTS:
        assert all(f'alertname="{name}"' in step["expr"] for step in tried[name])
        assert [bool(step["exp_samples"]) for step in tried[name]] == [False, True, False], name


@pytest.mark.monitoring
def test_prometheus_takes_the_rules(promtool: Promtool) -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.monitoring
def test_every_alert_fires_and_clears(promtool: Promtool) -> None:
    done = promtool("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.monitoring
def test_an_alert_that_does_not_fire_is_noticed(promtool: Promtool, tmp_path: Path) -> None:
    text = RULES.read_text("utf-8")
    assert "< 0.1\n" in text
    (tmp_path / "rules.yaml").write_text(text.replace("< 0.1\n", "< 0.01\n"), "utf-8")
    cases = yaml.safe_load(CASES.read_text("utf-8"))
    cases["tests"] = [case for case in cases["tests"] if case["name"] == "WhisperSpoolDisk"]
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({**cases, "rule_files": ["rules.yaml"]}), "utf-8")
    done = promtool("test", "rules", tmp_path / "cases.yaml")
    assert done.returncode == 1
    assert "WhisperSpoolDisk" in done.stdout + done.stderr
