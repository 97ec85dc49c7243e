"""What the page writes is, byte for byte, what the API writes: by its own modules, in the browser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.gateway.deterministic import Served
from tests.page.conftest import Visitor
from whisper_serve.speech import RenderOptions, Segment, Transcript, Word, render

pytestmark = pytest.mark.page

FORMATS = ("text", "srt", "vtt", "verbose_json", "tsv")
WRITE = """async ([raw, spaced]) => {
  const { Transcript } = await import(new URL("page/js/transcript.js", location));
  const { FORMATS } = await import(new URL("page/js/formats.js", location));
  const transcript = new Transcript(JSON.parse(raw), raw, spaced);
  return Object.fromEntries(Object.entries(FORMATS).map(([name, format]) => [name, format.render(transcript)]));
}"""


def segment(number: int, start: float, end: float, text: str, words: Sequence[Word] = ()) -> Segment:
    return Segment(number, 0, start, end, text, (1, 2), 0.0, -0.25, 1.0, 0.02, tuple(words))


def timed(text: str, start: float, each: float = 0.37) -> list[Word]:
    parts = [f" {part}" for part in text.split(" ")]
    return [
        Word(part, round(start + n * each, 2), round(start + (n + 1) * each, 2), 0.5) for n, part in enumerate(parts)
    ]


def transcript(*segments: Segment, text: str | None = None) -> Transcript:
    said = "".join(each.text for each in segments).strip() if text is None else text
    return Transcript("transcribe", "en", 7325.0, said, segments)


PLAIN = [
    transcript(),
    transcript(segment(0, 0.0, 1.0, " One.")),
    transcript(segment(0, 0.05, 2.675, " A --> B ----> C -> D"), segment(1, 59.999, 60.0, "\tTabs\tin it. ")),
    transcript(
        segment(0, 3599.99, 3600.0, " At the hour"), segment(1, 7200.5, 7325.0, ' "Quoted" \\ and <b>bold</b> & é 😀')
    ),
    transcript(segment(0, 0.0, 1.0, "こんにちは、"), segment(1, 1.0, 2.0, "世界。")),
]
LONG = " ".join(["antidisestablishmentarianism"] * 60)
WORDS = [
    transcript(segment(0, 0.0, 3.0, " And so my --> fellow.", timed("And so my --> fellow.", 0.1))),
    transcript(
        segment(0, 0.0, 2.0, " Same same same.", timed("Same same same.", 0.0)),
        segment(1, 2.0, 2.5, " ..."),
        segment(2, 3601.0, 3605.0, " Later.", timed("Later.", 3601.23)),
    ),
    transcript(segment(0, 0.0, 60.0, f" {LONG}", timed(LONG, 0.0))),
    transcript(segment(0, 0.0, 1.0, "世界。", [Word("世", 0.0, 0.3, 0.9), Word("界。", 0.3, 1.0, 0.1)])),
]


@pytest.mark.parametrize(
    ("value", "granularities"),
    [(value, {"segment"}) for value in PLAIN] + [(value, {"segment", "word"}) for value in WORDS],
)
def test_each_format_is_the_apis(served: Served, visit: Visitor, value: Transcript, granularities: set[str]) -> None:
    page = visit(served.url).open()
    options = RenderOptions(frozenset(granularities))
    raw = render(value, "verbose_json", options)
    written: dict[str, Any] = page.evaluate(WRITE, [raw, True])
    assert written == {name: render(value, name, options) for name in FORMATS}


def test_a_correction_that_is_taken_back_leaves_nothing(served: Served, visit: Visitor) -> None:
    page = visit(served.url).open()
    raw = render(WORDS[1], "verbose_json", RenderOptions(frozenset({"segment", "word"})))
    corrected, again = page.evaluate(
        """async (raw) => {
          const { Transcript } = await import(new URL("page/js/transcript.js", location));
          const { FORMATS } = await import(new URL("page/js/formats.js", location));
          const transcript = new Transcript(JSON.parse(raw), raw);
          transcript.correct(0, "Same other same.");
          const corrected = FORMATS.verbose_json.render(transcript);
          transcript.correct(0, "Same same same.");
          return [corrected, FORMATS.verbose_json.render(transcript)];
        }""",
        raw,
    )
    assert again == raw
    body, before = json.loads(corrected), json.loads(raw)
    assert body["text"] == "Same other same. ... Later."
    assert [word["word"] for word in body["words"]] == ["Same", "other", "same.", "Later."]
    assert (body["words"][0], body["words"][2]) == (before["words"][0], before["words"][2])
    assert body["words"][1]["probability"] is None
