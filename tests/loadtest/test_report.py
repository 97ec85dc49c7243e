from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree as ET

from loadtest.plot import FAILED, MOST_DOTS, plot
from loadtest.report import markdown
from loadtest.thresholds import Check
from tests.loadtest.examples import record, results, trend

SVG = "{http://www.w3.org/2000/svg}"
RECORDS = [
    record(2.0),
    record(3.0, endpoint="streaming", first_text_seconds=0.5, users=3),
    record(1.0, error="HTTP 500"),
    record(0.1, error="refused"),
]
CHECKS = [
    Check("rest", "p95_seconds", 2.0, 1.0, passed=False),
    Check("rest", "p95_rtf", None, 1.0, passed=True),
    Check("worker", "growth", -0.001, 2.0, passed=True, note="short", judged=False),
]


def test_a_run_as_markdown() -> None:
    text = markdown(results(RECORDS, [trend(1.5)]), CHECKS)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert ["rest", "1", "1", "1", "2.00", "2.00", "2.00", "–", "0.200", "0.200", "1 × HTTP 500"] in rows
    assert ["streaming", "1", "0", "0", "3.00", "3.00", "3.00", "0.50", "0.300", "0.300", "–"] in rows
    assert ["rest", "p95_seconds", "2.00", "1", "FAIL", ""] in rows
    assert ["rest", "p95_rtf", "–", "1", "pass", ""] in rows
    assert "worker" not in [row[0] for row in rows]
    assert text.endswith("Growth is not judged where it was watched for too short a time.\n")
    assert "not judged" not in markdown(results(RECORDS), CHECKS[:2])
    assert ["gateway 1", "USS MB", "100.0", "1.50", "0.10", "1.000"] in rows
    assert "20 s of audio in 100 s by at most 3 users at a time: 0.20 s of audio a second, 0.20 hours" in text


def dots(drawn: str) -> list[ET.Element]:
    return [each for each in ET.fromstring(drawn).iter(f"{SVG}circle") if each.get("r") == "2.5"]


def test_a_plot_has_a_dot_for_each_request() -> None:
    drawn = dots(plot(results(RECORDS)))
    assert len(drawn) == len(RECORDS)
    assert sum(each.get("fill") == FAILED for each in drawn) == 1
    assert ET.fromstring(plot(results([]))) is not None


def test_a_plot_of_many_requests_stays_small_and_shows_all_failures() -> None:
    good = [
        record(1.0, ended=float(number), endpoint=endpoint)
        for number in range(MOST_DOTS)
        for endpoint in ("grpc", "live", "rest")
    ]
    bad = [record(1.0, ended=float(number), error="timeout") for number in range(1, 8)]
    drawn = plot(results([*good, *bad]))
    assert len(dots(drawn)) == MOST_DOTS + len(bad)
    assert sum(each.get("fill") == FAILED for each in dots(drawn)) == len(bad)
    colours = Counter(each.get("fill") for each in dots(drawn))
    assert sorted(colours.values()) == [len(bad), *[MOST_DOTS // 3] * 3]
    assert "of 3 good ones 1 is drawn" in drawn
    assert len(drawn) < 1_000_000


def test_the_line_of_users_has_a_corner_for_each_change() -> None:
    users = [1, 1, 1, 4, 4, 2]
    drawn = plot(results([record(1.0, started=float(at), ended=9.0, users=count) for at, count in enumerate(users)]))
    line = next(ET.fromstring(drawn).iter(f"{SVG}polyline")).get("points", "").split()
    heights = [float(point.split(",")[1]) for point in line]
    assert len(line) == 6
    assert heights[0] == heights[1] > heights[4] == heights[5] > heights[2] == heights[3]
