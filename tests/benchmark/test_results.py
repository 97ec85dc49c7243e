from __future__ import annotations

import json

import pytest

from tests.benchmark.examples import report, row
from whisper_serve.benchmark.results import Round, Row, percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([3.0], 95, 3.0), ([3.0, 1.0, 2.0], 50, 2.0), ([1.0, 2.0], 75, 1.75), ([1.0, 2.0, 3.0], 100, 3.0)],
)
def test_percentiles_lie_on_lines_between_the_values(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_numbers_are_medians_of_the_rounds() -> None:
    rounds = [Round(2.0, 20, 4, 0.5), Round(1.0, 30, 3, 0.7), Round(10.0, 10, 1, 0.6)]
    one = Row("engine-int8", "one recording", 100.0, rounds, {10: [0.1, 0.3]})
    assert (one.rtfx, one.windows_per_second, one.tokens_per_second, one.fill) == (50.0, 2.0, 10.0, 0.6)
    assert (one.latency(10, 50), one.latency(30, 50)) == (0.2, None)


def test_what_was_not_measured_or_not_told_is_none() -> None:
    nothing = Row("engine-int8", "one recording", 100.0)
    assert (nothing.rtfx, nothing.windows_per_second, nothing.fill) == (None, None, None)
    untold = Row("gateway", "8 requests", 100.0, [Round(1.0)])
    assert (untold.rtfx, untold.windows_per_second, untold.tokens_per_second) == (100.0, None, None)


def test_each_workload_is_compared_with_its_own_baseline() -> None:
    rows = [
        row("openai-whisper", 2.0),
        row("engine-int8", 0.5),
        row("engine-files", 1.0, "8 requests"),
        row("gateway", 1.25, "8 requests"),
        row("speech-detector", 0.1, "one core"),
    ]
    found = report(*rows)
    assert [found.ratio(one) for one in found.rows] == [1.0, 4.0, 1.0, 0.8, None]


def test_without_the_baseline_there_is_no_ratio() -> None:
    failed = Row("openai-whisper", "one recording", 60.0, problem="failed: gone")
    assert report(failed, row("engine-int8", 0.5)).ratio(row("engine-int8", 0.5)) is None


def test_json_has_each_round_and_what_was_made_of_them() -> None:
    found = json.loads(json.dumps(report(row("openai-whisper", 2.0)).as_dict()))
    (one,) = found["rows"]
    assert one["rounds"][0]["seconds"] == 2.0
    assert (one["rtfx"], one["ratio"]) == (30.0, 1.0)
    assert found["machine"]["cpu"] == "Abacus 3000"
