"""The dashboards, rules and queries of the chart, as the tests of monitoring look at them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "helm" / "whisper" / "files" / "rules" / "whisper.yaml"
CASES: Final = Path(__file__).with_name("alerts_test.yaml")
DASHBOARDS: Final = tuple(sorted((ROOT / "helm" / "whisper" / "files" / "dashboards").glob("*.json")))
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
VARIABLES: Final = {"$namespace": ".*", "$model": ".*", "$__rate_interval": "1m"}
"""What Grafana puts in where everything is chosen, and Prometheus is read every 15 s."""

_STRINGS: Final = re.compile(r'"[^"]*"')
_NOT_NAMES: Final = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME: Final = re.compile(r"(?<![\w.])[A-Za-z_:][\w:]*(?!\w*\s*\()")
_WORDS: Final = frozenset({"and", "or", "unless", "bool"})


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and where it stands."""

    place: str
    text: str

    @property
    def metrics(self) -> frozenset[str]:
        """The names of the series that it reads."""
        bare = _NOT_NAMES.sub("", _STRINGS.sub('""', self.text))
        return frozenset(name for name in _NAME.findall(bare) if name not in _WORDS)

    def reads(self, beginnings: Iterable[str]) -> bool:
        """Whether it reads a metric whose name begins so."""
        return any(name.startswith(tuple(beginnings)) for name in self.metrics)


def dashboard(path: Path) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    return dict(json.loads(path.read_text("utf-8")))


def panel_queries() -> Iterator[Query]:
    """All queries of all panels, with the variables put in."""
    for path in DASHBOARDS:
        for panel in dashboard(path)["panels"]:
            for target in panel.get("targets", ()):
                yield Query(f"{path.stem}: {panel['title']} {target['refId']}", _filled(target["expr"]))


def _filled(text: str) -> str:
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    return text


def rules(kind: str) -> list[dict[str, Any]]:
    """All rules of a kind: ``record`` or ``alert``."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def rule_queries(kind: str) -> Iterator[Query]:
    """The expressions of the rules of a kind."""
    for rule in rules(kind):
        yield Query(rule[kind], rule["expr"])
