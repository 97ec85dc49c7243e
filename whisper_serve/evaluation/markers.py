"""Tables of measurements in pages of Markdown: between two lines that stay, so that they can be written again."""

from __future__ import annotations

import os
import re
from pathlib import Path

from whisper_serve.evaluation.errors import NoMarkers


def write_between_markers(page: Path, marker: str, text: str) -> None:
    """Replace what is between ``<!-- MARKER -->`` and ``<!-- /MARKER -->``.

    Raises NoMarkers as `split_at_markers` does.
    """
    before, after = split_at_markers(page, marker)
    page.write_text(f"{before}\n\n{text.strip()}\n\n{after}", encoding="utf-8")


def split_at_markers(page: Path, marker: str) -> tuple[str, str]:
    """The page up to the first marker and from the second one, both with their marker: each is a line of its own.

    Raises NoMarkers when the page or a marker is not there.
    """
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    found = re.search(f"^{re.escape(start)}$.*?^{re.escape(end)}$", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise NoMarkers(f"{page} has no lines {start} and {end} to write between")
    return text[: found.start()] + start, end + text[found.end() :]


def picture(page: Path, told: str, drawing: Path) -> str:
    """Markdown that shows a drawing on a page."""
    return f"![{told}]({os.path.relpath(drawing, page.parent)})"
