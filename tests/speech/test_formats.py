from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from typing import Any

import pytest
import whisper.utils
from hypothesis import given
from hypothesis import strategies as st

from whisper_serve.speech.formats import RESPONSE_FORMATS, RenderOptions, render, timestamp
from whisper_serve.speech.transcript import Dropped, Segment, TokenLogprob, Transcript, Word

WRITERS = {"srt": whisper.utils.WriteSRT, "vtt": whisper.utils.WriteVTT, "tsv": whisper.utils.WriteTSV}

milliseconds = st.integers(0, 40 * 3_600_000).map(lambda value: value / 1000)
times = st.one_of(milliseconds, st.floats(0, 200_000))
# openai-whisper leaves arrows in subtitles made of words, which breaks the file: tested apart.
texts = st.text(max_size=40).map(lambda text: " " + text.replace("-->", ""))
words = st.builds(Word, texts | st.just(" " + "long" * 160), times, times, st.floats(0, 1))


def segments_with(word_lists: st.SearchStrategy[tuple[Word, ...]]) -> st.SearchStrategy[Segment]:
    return st.builds(
        Segment,
        id=st.integers(0, 9),
        seek=st.integers(0, 9),
        start=times,
        end=times,
        text=texts,
        tokens=st.just((1, 2)),
        temperature=st.just(0.0),
        avg_logprob=st.floats(-2, 0),
        compression_ratio=st.floats(0, 3),
        no_speech_prob=st.floats(0, 1),
        words=word_lists,
    )


without_words = st.lists(segments_with(st.just(())), max_size=4)
with_words = st.lists(segments_with(st.lists(words, max_size=6).map(tuple)), min_size=1, max_size=4)


def transcript(*segments: Segment, warnings: tuple[str, ...] = (), language: str = "en") -> Transcript:
    text = "".join(segment.text for segment in segments).strip()
    return Transcript("transcribe", language, 8.47, text, segments, warnings)


def segment(text: str, start: float = 0.0, end: float = 1.5, words: tuple[Word, ...] = ()) -> Segment:
    return Segment(0, 0, start, end, text, (50364, 1), 0.0, -0.3, 1.2, 0.02, words)


def written_by_whisper(response_format: str, value: Transcript) -> str:
    """What openai-whisper's own writer makes of the transcript, with words if there are any."""
    segments: list[dict[str, Any]] = [asdict(segment) for segment in value.segments]
    if not value.words:
        for item in segments:
            del item["words"]
    file = io.StringIO()
    WRITERS[response_format]("").write_result({"segments": segments}, file)
    return file.getvalue()


@pytest.mark.parametrize("response_format", WRITERS)
@given(segments=without_words | with_words)
def test_files_are_those_of_openai_whisper(response_format: str, segments: list[Segment]) -> None:
    value = transcript(*segments)
    assert render(value, response_format) == written_by_whisper(response_format, value)


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


@pytest.mark.parametrize("with_words", [False, True])
@pytest.mark.parametrize("response_format", ["srt", "vtt"])
def test_arrow_in_the_text_does_not_break_subtitles(response_format: str, with_words: bool) -> None:
    words = (Word(" a", 0, 1, 1), Word(" -->", 1, 2, 1), Word(" b", 2, 3, 1)) if with_words else ()
    rendered = render(transcript(segment(" a --> b", words=words)), response_format)
    assert rendered.count("-->") == 1
    assert "\na -> b\n" in rendered


def test_tsv_keeps_its_columns() -> None:
    value = transcript(segment(" a\tb", 0.0, 1.2345))
    assert render(value, "tsv") == "start\tend\ttext\n0\t1234\ta b\n"


def test_text_is_the_text_and_a_line_break() -> None:
    assert render(transcript(segment(" Ça va ?")), "text") == "Ça va ?\n"
    assert render(transcript(), "text") == "\n"


def test_json_has_text_and_usage() -> None:
    body = render(transcript(segment(" Ça va ?")), "json")
    assert json.loads(body) == {"text": "Ça va ?", "usage": {"type": "duration", "seconds": 9}}
    assert "Ça" in body  # not escaped


def test_verbose_json_has_segments_by_default() -> None:
    body = json.loads(render(transcript(segment(" Hello.")), "verbose_json"))
    assert list(body) == ["task", "language", "duration", "text", "segments", "usage"]
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "english", 8.47)
    assert body["segments"] == [
        {
            "id": 0,
            "seek": 0,
            "start": 0.0,
            "end": 1.5,
            "text": " Hello.",
            "tokens": [50364, 1],
            "temperature": 0.0,
            "avg_logprob": -0.3,
            "compression_ratio": 1.2,
            "no_speech_prob": 0.02,
        }
    ]


@pytest.mark.parametrize(
    ("granularities", "lists"),
    [
        (frozenset[str](), {"segments"}),
        (frozenset({"segment"}), {"segments"}),
        (frozenset({"word"}), {"words"}),
        (frozenset({"segment", "word"}), {"segments", "words"}),
    ],
)
def test_verbose_json_has_the_lists_that_were_asked_for(granularities: frozenset[str], lists: set[str]) -> None:
    value = transcript(segment(" Hello.", words=(Word(" Hello.", 0.2, 0.7, 0.9),)))
    body = json.loads(render(value, "verbose_json", RenderOptions(granularities)))
    assert {"segments", "words"} & set(body) == lists
    if "words" in lists:
        assert body["words"] == [{"word": "Hello.", "start": 0.2, "end": 0.7}]


@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
def test_warnings_appear_only_when_there_are_some(response_format: str) -> None:
    assert "warnings" not in json.loads(render(transcript(), response_format))
    body = json.loads(render(transcript(warnings=("cut short",)), response_format))
    assert body["warnings"] == ["cut short"]


def test_verbose_json_tells_what_was_dropped_if_anything() -> None:
    assert "dropped" not in json.loads(render(transcript(), "verbose_json"))
    value = replace(transcript(), dropped=(Dropped(1.0, 4.5, "phantom", "Please subscribe."),))
    body = json.loads(render(value, "verbose_json"))
    assert body["dropped"] == [{"start": 1.0, "end": 4.5, "reason": "phantom", "text": "Please subscribe."}]
    for response_format in RESPONSE_FORMATS.keys() - {"verbose_json"}:
        assert render(value, response_format) == render(transcript(), response_format)


def test_language_of_a_transcript_without_speech() -> None:
    assert json.loads(render(transcript(language=""), "verbose_json"))["language"] == "unknown"


def test_unknown_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'doc' is not a response format: use one of json, text, srt"):
        render(transcript(), "doc")
    with pytest.raises(ValueError, match="not 'letter'"):
        RenderOptions(frozenset({"word", "letter"}))


def test_every_format_says_its_content_type_with_the_charset_of_text() -> None:
    assert set(RESPONSE_FORMATS) == {"json", "text", "srt", "verbose_json", "vtt", "tsv"}
    for form in RESPONSE_FORMATS.values():
        assert form.content_type == "application/json" or form.content_type.endswith("; charset=utf-8")


def test_json_has_logprobs_where_they_are_asked_for() -> None:
    tokens = (TokenLogprob(" H", (32, 72), -0.5), TokenLogprob("�", (195,), -1.25))
    one = replace(segment(" Hé"), token_logprobs=tokens[:1])
    other = replace(segment(" x"), token_logprobs=tokens[1:])
    value = transcript(one, other)
    body = json.loads(render(value, "json", RenderOptions(logprobs=True)))
    assert body["logprobs"] == [
        {"token": " H", "bytes": [32, 72], "logprob": -0.5},
        {"token": "�", "bytes": [195], "logprob": -1.25},
    ]
    assert "logprobs" not in json.loads(render(value, "json"))
