from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.speech.transcripts import segment, transcript, with_words, without_words, written_by_whisper
from whisper_serve.speech.formats import RESPONSE_FORMATS, render
from whisper_serve.speech.render_options import RenderOptions
from whisper_serve.speech.transcript import Dropped, Segment, TokenLogprob, Word


@given(segments=without_words | with_words)
def test_tsv_is_that_of_openai_whisper(segments: list[Segment]) -> None:
    value = transcript(*segments)
    assert render(value, "tsv") == written_by_whisper("tsv", value)


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


def test_a_translation_is_in_english_and_tells_what_is_spoken() -> None:
    for spoken, name in (("ja", "japanese"), ("", "unknown")):
        value = replace(transcript(segment(" Hello.")), task="translate", language=spoken, language_probability=0.9)
        body = json.loads(render(value, "verbose_json"))
        assert list(body)[:4] == ["task", "language", "source_language", "language_probability"]
        assert (body["language"], body["source_language"], body["language_probability"]) == ("english", name, 0.9)


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
        assert body["words"] == [{"word": "Hello.", "start": 0.2, "end": 0.7, "probability": 0.9}]


@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
def test_warnings_appear_only_when_there_are_some(response_format: str) -> None:
    assert "warnings" not in json.loads(render(transcript(), response_format))
    body = json.loads(render(transcript(warnings=("cut short",)), response_format))
    assert body["warnings"] == ["cut short"]


def test_verbose_json_tells_how_probable_a_language_is_that_was_found_out() -> None:
    assert "language_probability" not in json.loads(render(transcript(), "verbose_json"))
    value = replace(transcript(), language_probability=0.987654)
    assert json.loads(render(value, "verbose_json"))["language_probability"] == 0.9877
    for response_format in RESPONSE_FORMATS.keys() - {"verbose_json"}:
        assert render(value, response_format) == render(transcript(), response_format)


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


@pytest.mark.parametrize("name", ["max_line_width", "max_line_count", "max_words_per_line"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2"])
def test_limits_of_cues_are_positive_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive whole number, not {value!r}"):
        RenderOptions(**{name: value})


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


def test_verbose_json_names_the_language_of_a_segment_that_has_its_own() -> None:
    value = transcript(replace(segment(" Guten Tag."), language="de"), segment(" Hello."))
    languages = [each.get("language") for each in json.loads(render(value, "verbose_json"))["segments"]]
    assert languages == ["german", None]
