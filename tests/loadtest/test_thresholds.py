from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.errors import BadThresholds
from loadtest.records import Record, Trend
from loadtest.thresholds import Thresholds, judge
from tests.loadtest.examples import record, results, trend

OURS = Path(__file__).parents[2] / "loadtest" / "thresholds.yaml"


def thresholds(**default: float) -> Thresholds:
    return Thresholds.model_validate({"endpoints": {"default": default}})


def test_ours_can_be_read() -> None:
    limits = Thresholds.read(OURS)
    assert limits.of("rest").error_share == 0
    assert limits.of("streaming").p95_first_text_seconds is not None
    assert limits.of("streaming").p95_seconds == limits.of("rest").p95_seconds
    assert limits.growth.percent_per_hour == 2


def test_an_endpoints_own_limits_go_over_the_default() -> None:
    limits = Thresholds.model_validate(
        {"endpoints": {"default": {"p95_seconds": 1, "error_share": 0.5}, "rest": {"p95_seconds": 2}}}
    )
    assert (limits.of("rest").p95_seconds, limits.of("grpc").p95_seconds) == (2, 1)
    assert limits.of("rest").error_share == 0.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("endpoints: {rest: {p95: 1}}", r"endpoints\.rest\.p95: Extra inputs are not permitted"),
        ("endpoints: {rest: {p95_seconds: fast}}", r"endpoints\.rest\.p95_seconds: Input should be a valid number"),
        ("endpoints: {rest: {error_share: 5}}", "less than or equal to 1"),
        ("endpoints: {rest: {p95_seconds: .inf}}", "finite number"),
        ("endpoints: {}", "at least 1 item"),
        ("- a list", "the file: Input should be"),
        ("", "the file: Input should be"),
        ("a: [", "is no YAML"),
    ],
)
def test_an_illegal_file_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(BadThresholds, match=told) as caught:
        Thresholds.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadThresholds, match=r"none\.yaml cannot be read: No such file"):
        Thresholds.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("limits", "records", "passed"),
    [
        ({"p95_seconds": 1.0}, [record(1.0)], True),
        ({"p95_seconds": 0.9}, [record(1.0)], False),
        ({"p95_rtf": 0.1}, [record(1.0)], True),
        ({"p95_rtf": 0.09}, [record(1.0)], False),
        ({"error_share": 0.5}, [record(), record(error="HTTP 500")], True),
        ({"error_share": 0.4}, [record(), record(error="HTTP 500")], False),
        ({"error_share": 0.0}, [record(), record(error="refused")], True),
        ({"refused_share": 0.4}, [record(), record(error="refused")], False),
        ({"p95_first_text_seconds": 0.5}, [record(first_text_seconds=0.6)], False),
        ({"p95_first_text_seconds": 0.5}, [record(first_text_seconds=0.5)], True),
        # Nothing was answered: that is no good time.
        ({"p95_seconds": 1.0}, [record(error="no answer")], False),
        ({"p95_first_text_seconds": 1.0}, [record(error="no answer")], False),
    ],
)
def test_each_limit(limits: dict[str, float], records: list[Record], passed: bool) -> None:
    (check,) = judge(results(records), thresholds(**limits))
    assert check.passed is passed


def test_a_run_without_requests_has_failed() -> None:
    (check,) = judge(results([]), thresholds(error_share=1))
    assert not check.passed


def test_an_endpoint_without_requests_has_failed() -> None:
    missing, other = judge(results([record()]), thresholds(error_share=1), ["rest", "grpc"])
    assert (missing.subject, missing.passed, other.passed) == ("grpc", False, True)


@pytest.mark.parametrize(
    ("line", "passed", "told"),
    [
        (trend(1.9), True, ""),
        (trend(2.1), False, ""),
        (trend(-9.0), True, ""),
        (trend(50.0, uncertainty=60.0), True, "may be none: run longer"),
        (trend(50.0, uncertainty=40.0), False, ""),
        (trend(50.0, hours=0.01), True, "too short a time to judge"),
    ],
)
def test_growth(line: Trend, passed: bool, told: str) -> None:
    *_, check = judge(results([record()], [line]), thresholds(error_share=0))
    assert check.passed is passed
    assert told in check.note
    assert check.judged is (line.hours >= 0.25)
