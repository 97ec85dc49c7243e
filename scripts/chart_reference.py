"""Writes the chart's README.md and values.schema.json from its values.yaml and the settings of the programs.

    python -m scripts.chart_reference          # writes both
    python -m scripts.chart_reference --check  # only says whether they are up to date

In values.yaml the comment above a key is its description; a line ``@schema {…}`` in it adds to the key's JSON schema,
``@settings NAME`` stands for a map of the settings of one of SETTINGS, and ``@overrides`` for what a model may have
instead of the values of all models. A map with keys takes no others; an empty map takes any.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from scripts.generated import ROOT, run
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.settings import HandlerSettings, Settings

CHART: Final = ROOT / "helm" / "whisper"
SETTINGS: Final[Mapping[str, tuple[type[Settings], frozenset[str]]]] = {
    "gateway": (
        GatewaySettings,
        frozenset(
            {
                "host",
                "port",
                "grpc_port",
                "metrics_port",
                "torchserve_grpc",
                "model",
                "model_aliases",
                "models",
                "keys_file",
            }
        ),
    ),
    "handler": (HandlerSettings, frozenset({"weights", "model_cache", "device"})),
}
"""Of each program its settings, and those that the chart itself sets."""
TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z0-9_]+):(?P<rest>.*)$")


@dataclass
class Value:
    """A key of values.yaml: where it is, what it is for, and its default."""

    path: tuple[str, ...]
    text: str = ""
    schema: dict[str, Any] = field(default_factory=dict)
    settings: str = ""
    overrides: bool = False


def read_comments(text: str) -> dict[tuple[str, ...], Value]:
    """The comments by the path of their key, of which ``0`` is an item of a list; keys without are not in it."""
    found: dict[tuple[str, ...], Value] = {}
    parents: list[tuple[int, str]] = []
    comments: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comments.append(stripped.lstrip("#").strip())
            continue
        if stripped == "-":
            parents = [each for each in parents if each[0] < len(line) - 1]
            parents.append((len(line) - 1, "0"))
        elif match := _KEY.match(line):
            indent = len(match["indent"])
            parents = [each for each in parents if each[0] < indent]
            parents.append((indent, match["key"]))
            if comments:
                value = _described(tuple(key for _, key in parents), comments)
                found[value.path] = value
        comments = []
    return found


def _described(path: tuple[str, ...], comments: list[str]) -> Value:
    value, sentences = Value(path), []
    for line in comments:
        if line.startswith("@schema "):
            value.schema = yaml.safe_load(line.removeprefix("@schema "))
        elif line.startswith("@settings "):
            value.settings = line.removeprefix("@settings ").strip()
        elif line == "@overrides":
            value.overrides = True
        else:
            sentences.append(line)
    value.text = " ".join(sentences)
    return value


def make_schema(values: Any, comments: Mapping[tuple[str, ...], Value]) -> dict[str, Any]:
    """The JSON schema of all values."""
    schema = _schema(values, (), comments)
    for path in (value.path for value in comments.values() if value.overrides):
        _find_schema(schema, path).update(_overrides_schema(values))
    schema["properties"]["global"] = {"type": "object", "description": "Helm's own."}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart whisper", **schema}


def _schema(default: Any, path: tuple[str, ...], comments: Mapping[tuple[str, ...], Value]) -> dict[str, Any]:
    comment = comments.get(path, Value(path))
    schema: dict[str, Any] = {}
    if comment.text:
        schema["description"] = comment.text
    if default is not None:
        schema["type"] = TYPES[type(default)]
    if comment.settings:
        schema |= _settings_schema(comment.settings)
    elif isinstance(default, dict) and _has_inner(path, comments):
        schema["additionalProperties"] = False
        schema["properties"] = {key: _schema(value, (*path, key), comments) for key, value in default.items()}
    elif isinstance(default, list) and _has_inner(path, comments):
        schema["items"] = _schema(default[0], (*path, "0"), comments)
    return {**schema, **comment.schema}


def _has_inner(path: tuple[str, ...], comments: Mapping[tuple[str, ...], Value]) -> bool:
    """Whether keys inside of this one have comments of their own."""
    return any(len(other) > len(path) and other[: len(path)] == path for other in comments)


def settings_of(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The settings that can be set in a map, under the names that they have there, each with its JSON schema."""
    model, set_by_chart = SETTINGS[name]
    properties = model.model_json_schema()["properties"]
    for field_name, schema in properties.items():
        if field_name not in set_by_chart:
            head, *rest = field_name.split("_")
            yield head + "".join(word.capitalize() for word in rest), schema


def _settings_schema(name: str) -> dict[str, Any]:
    kept = ("description", "type", "minimum", "maximum", "exclusiveMinimum", "enum", "pattern")
    properties = {setting: {key: schema[key] for key in kept if key in schema} for setting, schema in settings_of(name)}
    return {"additionalProperties": False, "properties": properties}


def _find_schema(schema: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for key in path:
        schema = schema["items"] if key == "0" else schema["properties"][key]
    return schema


def _overrides_schema(values: Mapping[str, Any]) -> dict[str, Any]:
    """A map of values of `torchserve`, and of `autoscaling.torchserve` beside them."""
    places = {key: ("torchserve", key) for key in values["torchserve"]} | {"autoscaling": ("autoscaling", "torchserve")}
    properties = {key: {"$ref": "#/properties/" + "/properties/".join(place)} for key, place in places.items()}
    return {"additionalProperties": False, "properties": properties}


def make_readme(values: Any, comments: Mapping[tuple[str, ...], Value], chart: Mapping[str, Any]) -> str:
    """The README: an introduction, and a table of all values."""
    lines = [
        f"# {chart['name']}",
        "",
        f"{chart['description']}. Kubernetes {chart['kubeVersion'].removesuffix('-0').replace('>=', '≥ ')}.",
        "",
        "```sh",
        "helm install whisper helm/whisper --namespace whisper --create-namespace --values my-values.yaml",
        "helm test whisper --namespace whisper",
        "```",
        "",
        "[docs/kubernetes.md](../../docs/kubernetes.md) tells how to install it,",
        "[docs/scaling.md](../../docs/scaling.md) how it grows. `ci/` has values for many cases.",
        "This file and `values.schema.json` are made from `values.yaml` by `make chart-docs`.",
        "",
        "## Values",
        "",
        "| key | default | what it is |",
        "| --- | --- | --- |",
    ]
    for value in comments.values():
        name = ".".join(value.path).replace(".0", "[0]")
        default = "" if _has_inner(value.path, comments) else _shown(_find(values, value.path))
        lines.append(f"| `{name}` | {default} | {_cell(value.text)} |")
    for name, title in (("gateway", "gateway.settings"), ("handler", "torchserve.settings")):
        lines += ["", f"## `{title}`", "", "| key | default | what it is |", "| --- | --- | --- |"]
        for setting, schema in settings_of(name):
            lines.append(f"| `{setting}` | {_shown(schema.get('default'))} | {_cell(schema['description'])} |")
    return "\n".join([*lines, ""])


def _find(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values[int(key)] if isinstance(values, list) else values[key]
    return values


def _shown(default: Any) -> str:
    if default in ("", None):
        return ""
    text = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
    return f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def render(chart: Path = CHART) -> dict[str, str]:
    """The text of each file that is made, by its name in the chart."""
    text = (chart / "values.yaml").read_text("utf-8")
    values, comments = yaml.safe_load(text), read_comments(text)
    about = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    schema = json.dumps(make_schema(values, comments), indent=2, ensure_ascii=False) + "\n"
    return {"values.schema.json": schema, "README.md": make_readme(values, comments, about)}


def main() -> int:
    files = {CHART / name: text for name, text in render().items()}
    return run("Write the chart's README.md and values.schema.json.", files, "chart-docs")


if __name__ == "__main__":
    sys.exit(main())
