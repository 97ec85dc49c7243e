from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tests.evaluation.examples import OTHER, OURS, report
from whisper_serve.evaluation.page import Piece, differences, page
from whisper_serve.evaluation.results import Outcome

VOID = {"br", "meta"}


class Outline(HTMLParser):
    """Reads a page and knows which elements are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("outcomes", [(OURS,), (OURS, OTHER)])
def test_the_page_is_well_formed_and_needs_nothing_else(outcomes: tuple[Outcome, ...]) -> None:
    outline = Outline()
    outline.feed(page(report(*outcomes)))
    assert outline.open == []
    assert outline.addresses == []
    assert outline.seen.count("svg") == len(outcomes)
    assert "script" not in outline.seen
    assert "here" not in outline.seen  # what is between < and > in a transcript is text


def test_texts_stand_beside_each_other_with_what_differs() -> None:
    text = page(report(OURS, OTHER))
    assert "the <del>cat</del> <ins>hat</ins> sat on the <del>mat</del>" in " ".join(text.split())
    assert "English: 2 files" in text or "english: 2 files" in text
    assert text.index("en/b.wav</td><td>All is well &lt;here&gt;.") < text.index("en/a.wav</td><td>The cat sat")
    assert "Thank you for watching" in text
    assert "other &lt;1&gt;" in text


@pytest.mark.parametrize(
    ("reference", "text", "language", "pieces"),
    [
        ("a b c", "a x c", "de", (Piece("a"), Piece(removed="b", added="x"), Piece("c"))),
        ("a b", "a b c", "de", (Piece("a b"), Piece(added="c"))),
        ("a b", "", "de", (Piece(removed="a b"),)),
        ("", "x", "de", (Piece(added="x"),)),
        ("", "", "de", ()),
        ("今日は", "今月は", "ja", (Piece("今"), Piece(removed="日", added="月"), Piece("は"))),
    ],
)
def test_differences_are_word_by_word(reference: str, text: str, language: str, pieces: tuple[Piece, ...]) -> None:
    assert differences(reference, text, language) == pieces
