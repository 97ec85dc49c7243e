"""Plots as inline SVG: a point with its interval for each system, language by language."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from .bootstrap import Interval
from .results import Report
from .svg import WIDTH, drawing

NAMES: Final = 170
"""Pixels for the names before the axis."""
RIGHT: Final = 30
LINE: Final = 18
GAP: Final = 10
"""Pixels between two languages."""
TOP: Final = 60
TICKS: Final = 6
NARROWEST: Final = 1.0
"""Points that the axis shows at least: less would make much of nothing."""
COLOURS: Final = ("#2f6fb0", "#d2691e", "#3a8f4d", "#a0439c", "#8c8c8c", "#b8860b")


@dataclass(frozen=True, slots=True)
class Point:
    series: int
    value: float
    interval: Interval | None


def error_plot(report: Report) -> str:
    """Error rates with their intervals."""
    rows = [(line.name, [Point(n, s.percent, s.interval) for n, s in enumerate(line.scores)]) for line in report.errors]
    return _plot("Errors in percent", report.labels, rows)


def difference_plot(report: Report) -> str:
    """Differences to the first system, right of 0 where the other makes more errors; empty without another."""
    rows = []
    for line in report.errors:
        apart = [(number, score.difference) for number, score in enumerate(line.scores)]
        rows.append((line.name, [Point(n, one.points, one.interval) for n, one in apart if one is not None]))
    if len(report.outcomes) < 2:
        return ""
    return _plot(f"Percentage points more than {report.labels[0]}", report.labels, rows)


def _plot(title: str, series: Sequence[str], rows: Sequence[tuple[str, Sequence[Point]]]) -> str:
    ends = [0.0]
    for _, points in rows:
        for one in points:
            ends += [one.value, *((one.interval.low, one.interval.high) if one.interval else ())]
    ticks = _ticks(min(ends), max(ends))
    scale = (WIDTH - NAMES - RIGHT) / (ticks[-1] - ticks[0])
    height = TOP + sum(LINE * len(points) + GAP for _, points in rows) + GAP

    def at(value: float) -> str:
        return f"{NAMES + (value - ticks[0]) * scale:.1f}"

    parts = _legend(series, {one.series for _, points in rows for one in points})
    for tick in ticks:
        parts.append(f'<path d="M{at(tick)} {TOP}V{height - GAP}" stroke="#808080" stroke-opacity="0.3"/>')
        parts.append(f'<text x="{at(tick)}" y="{TOP - 4}" text-anchor="middle">{tick:g}</text>')
    top = TOP + GAP
    for name, points in rows:
        parts.append(f'<text x="{NAMES - 10}" y="{top + LINE - 6}" text-anchor="end">{escape(name)}</text>')
        for one in points:
            parts += _mark(one, at, top + LINE // 2)
            top += LINE
        top += GAP
    return drawing(title, height, parts)


def _mark(point: Point, at: Callable[[float], str], y: int) -> list[str]:
    colour = COLOURS[point.series % len(COLOURS)]
    mark = f'<circle cx="{at(point.value)}" cy="{y}" r="4" fill="{colour}"><title>{point.value:.2f}</title></circle>'
    if point.interval is None:
        return [mark]
    line = f'<path d="M{at(point.interval.low)} {y}H{at(point.interval.high)}" stroke="{colour}" stroke-width="2"/>'
    return [line, mark]


def _legend(series: Sequence[str], shown: set[int]) -> list[str]:
    parts = []
    step = (WIDTH - 20) // max(len(shown), 1)
    for place, number in enumerate(sorted(shown)):
        x = 15 + place * step
        parts.append(f'<circle cx="{x}" cy="33" r="4" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(f'<text x="{x + 10}" y="37">{escape(series[number])}</text>')
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below the lowest value to above the highest."""
    rough = max(high - low, NARROWEST) / TICKS
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [round(number * step, 10) for number in range(first, last + 1)]
