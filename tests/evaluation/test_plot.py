from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tests.evaluation.examples import OTHER, OURS, report
from whisper_serve.evaluation.plot import NAMES, RIGHT, difference_plot, error_plot
from whisper_serve.evaluation.svg import WIDTH

SVG = "{http://www.w3.org/2000/svg}"


def marks(text: str) -> list[tuple[float, str]]:
    """Where each point is, and its value; those of the legend have none."""
    circles = ET.fromstring(text).iter(f"{SVG}circle")
    return [
        (float(one.attrib["cx"]), title.text or "") for one in circles if (title := one.find(f"{SVG}title")) is not None
    ]


def test_points_are_where_their_values_are() -> None:
    found = marks(error_plot(report(OURS, OTHER)))
    assert [value for _, value in found] == ["0.00", "33.33", "0.00", "122.22", "0.00", "77.78"]
    places = {value: place for place, value in found}
    # The axis goes from 0 to 300, the end of the longest interval.
    assert places["0.00"] == NAMES
    assert places["122.22"] == pytest.approx(NAMES + (WIDTH - NAMES - RIGHT) * 122.22 / 300, abs=0.1)


def test_differences_are_those_of_the_others() -> None:
    assert [value for _, value in marks(difference_plot(report(OURS, OTHER)))] == ["33.33", "122.22", "77.78"]
    assert difference_plot(report(OURS)) == ""


def test_a_plot_without_errors_is_a_plot() -> None:
    same = difference_plot(report(OURS, replace(OURS, label="other")))
    assert {place for place, _ in marks(same)} == {NAMES}
    assert ">0.2</text>" in same
