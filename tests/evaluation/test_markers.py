from __future__ import annotations

from pathlib import Path

import pytest

from whisper_serve.evaluation.errors import NoMarkers
from whisper_serve.evaluation.markers import picture, split_at_markers, write_between_markers

DOCS = Path(__file__).parents[2] / "docs"
OURS = {
    "live.md": ["bench:live"],
    "loadtest.md": ["loadtest:steady", "loadtest:soak", "loadtest:capacity"],
    "performance.md": ["bench:cpu", "bench:gpu", "bench:profile-cpu", "bench:profile-gpu"],
    "quality.md": ["bench:quality"],
    "reliability.md": ["bench:faults"],
}


def test_a_text_is_written_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- bench:cpu -->\nold\n<!-- /bench:cpu -->\nb\n<!-- bench:gpu -->\n<!-- /bench:gpu -->\n")
    write_between_markers(page, "bench:cpu", r"new \1")
    write_between_markers(page, "bench:cpu", "\nnewer \\1\n\n")
    expected = "a\n<!-- bench:cpu -->\n\nnewer \\1\n\n<!-- /bench:cpu -->\nb\n<!-- bench:gpu -->\n<!-- /bench:gpu -->\n"
    assert page.read_text() == expected


def test_a_marker_within_a_line_is_only_told_of(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    told = "Between `<!-- bench:cpu -->` and `<!-- /bench:cpu -->`:\n"
    page.write_text(f"{told}<!-- bench:cpu -->\n<!-- /bench:cpu -->\n")
    write_between_markers(page, "bench:cpu", "new")
    assert page.read_text() == f"{told}<!-- bench:cpu -->\n\nnew\n\n<!-- /bench:cpu -->\n"


@pytest.mark.parametrize("text", [None, "", "<!-- bench:cpu -->", "<!-- /bench:cpu --><!-- bench:cpu -->"])
def test_a_page_without_markers_is_refused(tmp_path: Path, text: str | None) -> None:
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    with pytest.raises(NoMarkers, match=r"page\.md has no lines <!-- bench:cpu --> and <!-- /bench:cpu -->"):
        split_at_markers(page, "bench:cpu")
    with pytest.raises(NoMarkers):
        write_between_markers(page, "bench:cpu", "new")


def test_a_drawing_is_linked_from_where_the_page_is(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "page.md"
    assert picture(page, "Seconds", tmp_path / "docs" / "a.svg") == "![Seconds](a.svg)"
    assert picture(page, "Seconds", tmp_path / "a.svg") == "![Seconds](../a.svg)"


@pytest.mark.parametrize(("page", "marker"), [(page, marker) for page, markers in OURS.items() for marker in markers])
def test_our_own_pages_have_their_markers(page: str, marker: str) -> None:
    split_at_markers(DOCS / page, marker)
