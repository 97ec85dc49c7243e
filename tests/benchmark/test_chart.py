from __future__ import annotations

import xml.etree.ElementTree as ET

from tests.benchmark.examples import report, row
from whisper_serve.benchmark.chart import NAMES, NUMBERS, speed_chart
from whisper_serve.benchmark.results import Row
from whisper_serve.evaluation.svg import WIDTH

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_the_systems_are_fast() -> None:
    failed = Row("engine-int8", "one recording", 60.0, problem="failed: gone")
    detector = row("speech-detector", 0.1, "one core")
    chart = ET.fromstring(speed_chart(report(row("openai-whisper", 2.0), row("<engine>", 1.0), failed, detector)))
    widths = [float(bar.attrib["width"]) for bar in chart.iter(f"{SVG}rect")]
    longest = WIDTH - NAMES - NUMBERS
    assert widths == [longest / 2, longest]
    assert [text.text for text in chart.iter(f"{SVG}text")][1:] == ["openai-whisper", "30.0", "<engine>", "60.0"]


def test_a_chart_of_nothing_is_a_chart() -> None:
    assert ET.fromstring(speed_chart(report())).tag == f"{SVG}svg"
