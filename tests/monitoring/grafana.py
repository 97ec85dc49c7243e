"""Dashboards as Grafana's own types read them: those of its package for Python, made from its schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, get_type_hints

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from pydantic import ConfigDict, TypeAdapter, ValidationError

register_default_plugins()  # the types of panels and of Prometheus' queries
_CONFIG: Final = ConfigDict(arbitrary_types_allowed=True)


def faults(text: dict[str, Any]) -> list[str]:
    """The places of a dashboard that Grafana does not know, or where it wants another type of value."""
    read = Dashboard.from_json(text)
    written = json.loads(json.dumps(read, cls=JSONEncoder))
    return [*_lost(text, written, "dashboard"), *_misfits(read, "dashboard")]


def _lost(ours: Any, theirs: Any, place: str) -> Iterator[str]:
    """What is not there any more once Grafana's types have read and written it. They may add defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from _lost(value, theirs.get(key), f"{place}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _lost(one, other, f"{place}[{number}]")
    elif ours != theirs:
        yield f"{place} is lost"


def _misfits(value: Any, place: str) -> Iterator[str]:
    """Attributes that are not of the type that they are declared with; reading does not look at types."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _misfits(each, f"{place}[{number}]")
    elif hasattr(value, "to_json"):
        for name, hint in get_type_hints(type(value)).items():
            attribute = getattr(value, name)
            if not _fits(attribute, hint):
                yield f"{place}.{name} is {attribute!r}"
            yield from _misfits(attribute, f"{place}.{name}")


def _fits(value: Any, hint: Any) -> bool:
    try:
        TypeAdapter(hint, config=_CONFIG).validate_python(value)
    except ValidationError:
        return False
    return True
