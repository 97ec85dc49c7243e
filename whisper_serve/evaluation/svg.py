"""Drawings as SVG, in greys and colours that can be read on light and on dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

WIDTH: Final = 760


def drawing(title: str, height: int, parts: Iterable[str]) -> str:
    """A drawing `WIDTH` wide of these elements, with its title at the top left."""
    frame = f'role="img" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="#808080"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>',
        f"<title>{escape(title)}</title>",
        f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    return "\n".join([*head, *parts, "</svg>", ""])
