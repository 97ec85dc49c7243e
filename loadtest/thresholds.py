"""What a run must keep to: limits from a YAML file, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadtest.errors import BadThresholds
from loadtest.records import Results, Trend
from loadtest.summary import EndpointSummary, summarise

DEFAULT: Final = "default"
"""The name of the limits for endpoints that have none of their own."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class EndpointLimits(_Strict):
    """The most that is allowed; what is left out is not checked."""

    p95_seconds: Positive | None = None
    p95_first_text_seconds: Positive | None = None
    p95_rtf: Positive | None = None
    error_share: Share | None = None
    refused_share: Share | None = None


class GrowthLimits(_Strict):
    """What may grow in a process, and from how many hours on after warm-up that is judged."""

    percent_per_hour: Positive = 2.0
    least_hours: Positive = 0.25


class Thresholds(_Strict):
    """The whole file."""

    endpoints: dict[str, EndpointLimits] = Field(min_length=1)
    growth: GrowthLimits = GrowthLimits()

    @staticmethod
    def read(path: Path) -> Thresholds:
        """Raises BadThresholds if it cannot be read, is no YAML, or has an unknown key or an impossible value."""
        try:
            return Thresholds.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise BadThresholds(f"{path} cannot be read: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise BadThresholds(f"{path} is no YAML: {' '.join(str(error).split())}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise BadThresholds(f"{path}: {place}: {first['msg']}") from error

    def of(self, endpoint: str) -> EndpointLimits:
        """An endpoint's limits: the default ones, with its own over them."""
        limits = [self.endpoints[name] for name in (DEFAULT, endpoint) if name in self.endpoints]
        merged = {key: value for each in limits for key, value in each.model_dump(exclude_none=True).items()}
        return EndpointLimits(**merged)


@dataclass(frozen=True, slots=True)
class Check:
    """One limit and what was measured; None where nothing was."""

    subject: str
    what: str
    value: float | None
    limit: float
    passed: bool
    note: str = ""
    judged: bool = True
    """False: it was watched for too short a time to say, and counts as kept."""


MEASURES: Final[Mapping[str, Callable[[EndpointSummary], float | None]]] = {
    "p95_seconds": lambda summary: summary.seconds(95),
    "p95_first_text_seconds": lambda summary: summary.first_text_seconds(95),
    "p95_rtf": lambda summary: summary.rtf(95),
    "error_share": lambda summary: summary.error_share,
    "refused_share": lambda summary: summary.refused_share,
}


def judge(results: Results, thresholds: Thresholds, expected: Collection[str] = ()) -> list[Check]:
    """All checks of a run; it has failed if an expected endpoint was sent nothing, or nothing was sent at all."""
    missing = sorted(set(expected) - {record.endpoint for record in results.records})
    if not expected and not results.records:
        missing = ["all"]
    checks = [Check(each, "requests", 0, 1, passed=False, note="nothing was sent") for each in missing]
    checks += [check for summary in summarise(results) for check in _of_endpoint(summary, thresholds)]
    return checks + [_of_trend(trend, thresholds.growth) for trend in results.trends]


def _of_endpoint(summary: EndpointSummary, thresholds: Thresholds) -> Sequence[Check]:
    limits = thresholds.of(summary.endpoint).model_dump(exclude_none=True)
    checks = []
    for what, limit in limits.items():
        value = MEASURES[what](summary)
        # Only some endpoints send texts in parts: without any, there is no first one to wait for.
        if value is None and what == "p95_first_text_seconds" and summary.good:
            continue
        checks.append(Check(summary.endpoint, what, value, limit, passed=value is not None and value <= limit))
    return checks


def _of_trend(trend: Trend, limits: GrowthLimits) -> Check:
    """A growth counts when it is over the limit and its interval tells that there is one at all."""
    over, sure = trend.growth > limits.percent_per_hour, trend.growth > trend.uncertainty
    judged = trend.hours >= limits.least_hours
    note = f"± {trend.uncertainty:.2g}" if judged else "too short a time to judge"
    if judged and over and not sure:
        note += "; may be none: run longer"
    what, passed = f"{trend.quantity} growth, % an hour", not (judged and over and sure)
    return Check(trend.process, what, trend.growth, limits.percent_per_hour, passed, note, judged)
