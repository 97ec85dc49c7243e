"""A run as a drawing: when each request ended, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import chain, filterfalse, groupby
from typing import Final

from loadtest.records import OK, REFUSED, Record, Results
from whisper_serve.evaluation.svg import WIDTH, drawing

HEIGHT: Final = 320
LEFT, RIGHT, TOP, BOTTOM = 50, 20, 40, 50
COLOURS: Final = ("#2f6fb0", "#3c9d5d", "#b07a2f", "#8a5fb0", "#2fa3a3", "#b05f8a")
FAILED: Final = "#d03030"
MOST_DOTS: Final = 3000
"""Of good answers: of more only every second, third, … of each endpoint is drawn."""
LETTER: Final = 8
"""Room for one in the legend."""


def plot(results: Results) -> str:
    """Seconds of each request over the run as SVG; users as a line, failures in red, refusals on the ground."""
    last = max((record.ended for record in results.records), default=1.0) or 1.0
    highest = max((record.seconds for record in results.records), default=1.0) or 1.0
    most = max((record.users for record in results.records), default=1)
    endpoints = sorted({record.endpoint for record in results.records})
    step = -(-sum(not _bad(record) for record in results.records) // MOST_DOTS) or 1
    parts = [*_axes(last, highest, most, step), *_users(results, last, most), *_legend(endpoints)]
    parts += [_dot(record, endpoints, last, highest) for record in _drawn(results.records, step)]
    return drawing(f"{results.model}, {results.shape}: seconds of each request", HEIGHT, parts)


def _bad(record: Record) -> bool:
    return record.error not in (OK, REFUSED)


def _drawn(records: Sequence[Record], step: int) -> list[Record]:
    """Of the good ones of each endpoint every `step`-th, and all of the others, above them."""
    good: dict[str, list[Record]] = {}
    for record in filterfalse(_bad, records):
        good.setdefault(record.endpoint, []).append(record)
    return [*chain(*(each[::step] for each in good.values())), *filter(_bad, records)]


def _x(seconds: float, last: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / last


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def _axes(last: float, highest: float, most: int, step: int) -> Iterator[str]:
    ground = _y(0)
    yield f'<line x1="{LEFT}" y1="{ground}" x2="{WIDTH - RIGHT}" y2="{ground}" stroke="#808080"/>'
    yield f'<line x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{ground}" stroke="#808080"/>'
    yield f'<text x="{LEFT - 6}" y="{TOP + 10}" text-anchor="end">{highest:.1f} s</text>'
    yield f'<text x="{LEFT - 6}" y="{ground}" text-anchor="end">0</text>'
    told = f"{last:.0f} s; line: users, at most {most}" + (f"; of {step} good ones 1 is drawn" if step > 1 else "")
    yield f'<text x="{WIDTH - RIGHT}" y="{ground + 16}" text-anchor="end">{told}</text>'


def _users(results: Results, last: float, most: int) -> Iterator[str]:
    points = list(_corners(sorted((record.started, record.users) for record in results.records)))
    line = " ".join(f"{_x(started, last):.1f},{_y(users / most):.1f}" for started, users in points)
    yield f'<polyline points="{line}" fill="none" stroke="#808080" stroke-dasharray="3 3"/>'


def _corners(points: Sequence[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """Of points in a row the first and the last of each height."""
    for _, same in groupby(points, key=lambda point: point[1]):
        row = list(same)
        yield row[0]
        yield row[-1]


def _legend(endpoints: list[str]) -> Iterator[str]:
    for number, endpoint in enumerate(endpoints):
        left = LEFT + LETTER * sum(3 + len(each) for each in endpoints[:number])
        yield f'<circle cx="{left}" cy="{HEIGHT - 14}" r="4" fill="{_colour(number)}"/>'
        yield f'<text x="{left + 8}" y="{HEIGHT - 10}">{escape(endpoint)}</text>'


def _dot(record: Record, endpoints: list[str], last: float, highest: float) -> str:
    colour = FAILED if _bad(record) else _colour(endpoints.index(record.endpoint))
    top = _y(record.seconds / highest)
    return f'<circle cx="{_x(record.ended, last):.1f}" cy="{top:.1f}" r="2.5" fill="{colour}"/>'


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
