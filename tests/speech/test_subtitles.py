from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import whisper.utils
from hypothesis import given
from hypothesis import strategies as st

from tests.speech.transcripts import segment, times, transcript, with_words, without_words, written_by_whisper
from whisper_serve.speech.formats import render
from whisper_serve.speech.render_options import RenderOptions
from whisper_serve.speech.subtitles import timestamp
from whisper_serve.speech.transcript import Segment, Word

FORMATS = ("srt", "vtt")
SPOKEN = (
    (" And so, my fellow Americans,", 0.0),
    (" ask not", 0.2),
    (" what your country can do for you: ask", 2.9),
    (" what you can do for", 3.1),
    (" your extraordinarily-long-compound country.", 5.0),
)
"""What is said, and the seconds of silence before it."""


def spoken() -> tuple[Segment, ...]:
    """Segments of words that follow each other, with gaps in and between segments and one segment without words."""
    segments, now = [segment("", 0.0, 0.0)], 0.5
    for text, silence in SPOKEN:
        now += silence
        start, timed = now, []
        for position, word in enumerate(text.split()):
            begin = round(now + 0.1 * (position % 2), 2)
            now = round(begin + 0.05 * len(word), 2)
            timed.append(Word(f" {word}", begin, now, 0.9))
        segments.append(segment(text, start, now, tuple(timed)))
    return tuple(segments)


def numbers(*values: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.sampled_from(values) | st.integers(1, 50)


layouts = st.fixed_dictionaries(
    {
        "max_line_width": numbers(1, 8, 42, 1500),
        "max_line_count": numbers(1, 2),
        "max_words_per_line": numbers(1, 2, 3),
        "highlight_words": st.booleans(),
    }
)


@pytest.mark.parametrize("response_format", FORMATS)
@given(segments=without_words | with_words, options=layouts)
def test_any_text_is_written_as_openai_whisper_does(
    response_format: str, segments: list[Segment], options: dict[str, Any]
) -> None:
    value = transcript(*segments)
    assert render(value, response_format, RenderOptions(**options)) == written_by_whisper(
        response_format, value, **options
    )


@pytest.mark.parametrize("response_format", FORMATS)
@pytest.mark.parametrize("highlight", [False, True])
def test_speech_is_written_as_openai_whisper_does(response_format: str, highlight: bool) -> None:
    value = transcript(*spoken())
    layouts = product((None, 1, 12, 20, 42, 1000), (None, 1, 2, 3), (None, 1, 2, 4, 100))
    written = set()
    for width, count, per_line in layouts:
        options: dict[str, Any] = {
            "max_line_width": width,
            "max_line_count": count,
            "max_words_per_line": per_line,
            "highlight_words": highlight,
        }
        rendered = render(value, response_format, RenderOptions(**options))
        assert rendered == written_by_whisper(response_format, value, **options), options
        written.add(rendered)
    assert len(written) > 20  # so the options differ in what they do


def test_the_options_say_what_they_do() -> None:
    words = tuple(Word(f" {text}", at, at + 0.5, 1) for text, at in (("One", 0), ("two", 1), ("three.", 1.5)))
    value = transcript(segment(" One two three.", words=words), segment(" Late.", words=(Word(" Late.", 5, 6, 1),)))

    def cues(**options: Any) -> list[str]:
        return render(value, "vtt", RenderOptions(**options)).split("\n\n")[1:-1]

    assert cues() == ["00:00.000 --> 00:02.000\nOne two three.", "00:05.000 --> 00:06.000\nLate."]
    assert cues(max_line_width=8)[0] == "00:00.000 --> 00:02.000\nOne two\nthree."
    assert [cue.split("\n")[1:] for cue in cues(max_line_width=8, max_line_count=1)] == [
        ["One two"],
        ["three."],
        ["Late."],
    ]
    assert [cue.split("\n")[1] for cue in cues(max_words_per_line=2)] == ["One two", "three.", "Late."]
    assert cues(highlight_words=True) == [
        "00:00.000 --> 00:00.500\n<u>One</u> two three.",
        "00:00.500 --> 00:01.000\nOne two three.",
        "00:01.000 --> 00:01.500\nOne <u>two</u> three.",
        "00:01.500 --> 00:02.000\nOne two <u>three.</u>",
        "00:05.000 --> 00:06.000\n<u>Late.</u>",
    ]


@given(times, st.booleans(), st.sampled_from(".,"))
def test_timestamps_are_those_of_openai_whisper(seconds: float, hours: bool, marker: str) -> None:
    expected = whisper.utils.format_timestamp(seconds, always_include_hours=hours, decimal_marker=marker)
    assert timestamp(seconds, decimal_marker=marker, always_hours=hours) == expected


def test_srt_and_vtt_of_one_transcript() -> None:
    value = transcript(segment(" Hello."), segment(" World.", 3599.9996, 3661.2))
    assert render(value, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n01:00:00,000 --> 01:01:01,200\nWorld.\n\n"
    )
    assert render(value, "vtt") == (
        "WEBVTT\n\n00:00.000 --> 00:01.500\nHello.\n\n01:00:00.000 --> 01:01:01.200\nWorld.\n\n"
    )


@pytest.mark.parametrize("response_format", FORMATS)
@pytest.mark.parametrize("with_words", [False, True])
@pytest.mark.parametrize("arrow", ["-->", "---->"])
def test_arrow_in_the_text_does_not_break_subtitles(response_format: str, with_words: bool, arrow: str) -> None:
    words = (Word(" a", 0, 1, 1), Word(f" {arrow}", 1, 2, 1), Word(" b", 2, 3, 1)) if with_words else ()
    value = transcript(segment(f" a {arrow} b", words=words))
    rendered = render(value, response_format)
    assert rendered.count("-->") == 1
    assert "\na -> b\n" in rendered
    if with_words:
        highlighted = render(value, response_format, RenderOptions(highlight_words=True))
        assert highlighted.count("-->") == 3
        assert "\na <u>-></u> b\n" in highlighted
