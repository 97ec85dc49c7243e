"""A bar chart as SVG: plain rectangles and text, which any browser shows in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from whisper_serve.benchmark.results import Report
from whisper_serve.evaluation.svg import WIDTH, drawing

NAMES: Final = 230
"""Pixels for the names before the bars."""
NUMBERS: Final = 70
"""Pixels for the numbers after the longest bar."""
LINE: Final = 26
BAR: Final = 16
TOP: Final = 40
OURS: Final = ("engine", "torchserve", "gateway")
COLOURS: Final = {True: "#2f6fb0", False: "#8c8c8c"}


def speed_chart(report: Report) -> str:
    """Each system's seconds of audio a second; the speech detector, which is another thing, is left out."""
    bars = [(row.system, row.rtfx) for row in report.rows if row.rtfx and row.workload != "one core"]
    return _svg(f"{report.model} on {report.device}: seconds of audio a second", bars)


def _svg(title: str, bars: Sequence[tuple[str, float]]) -> str:
    height = TOP + LINE * len(bars) + 10
    scale = (WIDTH - NAMES - NUMBERS) / max((value for _, value in bars), default=1.0)
    parts = []
    for number, (name, value) in enumerate(bars):
        parts += _bar(TOP + LINE * number, name, value, scale)
    return drawing(title, height, parts)


def _bar(top: int, name: str, value: float, scale: float) -> list[str]:
    colour = COLOURS[name.startswith(OURS)]
    text = top + BAR - 3
    return [
        f'<text x="{NAMES - 10}" y="{text}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{NAMES}" y="{top}" width="{value * scale:.1f}" height="{BAR}" fill="{colour}"/>',
        f'<text x="{NAMES + value * scale + 6:.1f}" y="{text}">{value:.1f}</text>',
    ]
