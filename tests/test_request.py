from __future__ import annotations

from typing import Any

import pytest

from whisper_serve.request import SUBTITLE_LIMITS, FileRequest
from whisper_serve.speech import RenderOptions, VadOptions
from whisper_serve.wire import InvalidOption, WindowOptions

SUBTITLE_FIELDS = (*SUBTITLE_LIMITS, "highlight_words")
OTHER_FORMATS = ("", "json", "text", "verbose_json", "tsv")


def test_nothing_asked_is_a_transcription_as_json() -> None:
    request = FileRequest.from_fields({})
    assert request == FileRequest(WindowOptions(), "json")
    assert request.vad == VadOptions()


def test_openais_fields_are_read() -> None:
    request = FileRequest.from_fields(
        {
            "model": "whisper-1",
            "task": "translate",
            "language": "French",
            "prompt": "Nemo",
            "temperature": "0.4",
            "response_format": "verbose_json",
            "timestamp_granularities[]": "segment",
            "stream": "false",
            "unheard_of": "ignored",
        }
    )
    assert request.options == WindowOptions("translate", "fr", "Nemo", 0.4)
    assert request.response_format == "verbose_json"


def test_beams_samples_and_words_are_read() -> None:
    request = FileRequest.from_fields(
        {
            "beam_size": "5",
            "patience": "1.5",
            "best_of": "3",
            "length_penalty": "0.6",
            "hotwords": "Nemo, Aronnax",
            "suppress_tokens": "-1,220,50256",
        }
    )
    assert request.options == WindowOptions(
        beam_size=5,
        patience=1.5,
        best_of=3,
        length_penalty=0.6,
        hotwords="Nemo, Aronnax",
        suppress_tokens=(-1, 220, 50_256),
    )
    assert FileRequest.from_fields({"suppress_tokens": "none"}).options == WindowOptions(suppress_tokens=())


@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities"])
@pytest.mark.parametrize("asked", [("word",), ("segment", "word"), ("word", "segment", "")])
def test_words_are_asked_for_with_repeated_fields(name: str, asked: tuple[str, ...]) -> None:
    for response_format in ("verbose_json", "srt", "vtt"):
        request = FileRequest.from_form([("response_format", response_format), *((name, value) for value in asked)])
        assert request.options.word_timestamps
        assert request.render.granularities == set(asked) - {""}


def test_a_field_whose_name_only_begins_like_that_of_a_list_is_ignored() -> None:
    request = FileRequest.from_form([("timestamp_granularities[content", "logprobs")])
    assert request == FileRequest.from_form([])


@pytest.mark.parametrize("response_format", ["srt", "vtt"])
@pytest.mark.parametrize(
    "asked",
    [
        {"max_line_width": 42},
        {"max_line_width": 200, "max_line_count": 10},
        {"max_line_width": 1, "max_line_count": 1, "highlight_words": True},
        {"max_words_per_line": 100},
        {"max_words_per_line": 1, "highlight_words": True},
        {"highlight_words": True},
    ],
)
def test_subtitles_are_laid_out_in_words(response_format: str, asked: dict[str, Any]) -> None:
    fields = {name: str(value) for name, value in asked.items()}
    request = FileRequest.from_fields({"response_format": response_format, **fields})
    assert request.render == RenderOptions(**asked)
    assert request.options == WindowOptions(word_timestamps=True)


def test_subtitles_without_such_wishes_need_no_words() -> None:
    request = FileRequest.from_fields({"response_format": "srt", "highlight_words": "false", "max_line_width": ""})
    assert request == FileRequest(response_format="srt")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        *((name, {name: "1", "response_format": format_}) for name in SUBTITLE_FIELDS for format_ in OTHER_FORMATS),
        ("max_line_count", {"response_format": "vtt", "max_line_count": "2"}),
        ("max_line_count", {"response_format": "vtt", "max_line_count": "2", "max_words_per_line": "5"}),
        ("max_words_per_line", {"response_format": "srt", "max_words_per_line": "5", "max_line_width": "42"}),
    ],
)
def test_fields_of_subtitles_that_would_do_nothing_are_named(name: str, fields: dict[str, str]) -> None:
    with pytest.raises(InvalidOption, match=name) as caught:
        FileRequest.from_fields(fields)
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beam_size": "5", "temperature": "0.2"}, "beam_size goes with temperature 0 only"),
        ({"best_of": "5", "patience": "2"}, "patience needs beam_size"),
        ({"length_penalty": "0.6"}, "length_penalty needs beam_size or best_of"),
    ],
)
def test_what_beams_and_samples_need_is_said(fields: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        FileRequest.from_fields(fields)


@pytest.mark.parametrize(("name", "most"), SUBTITLE_LIMITS.items())
def test_limits_of_subtitles_have_limits(name: str, most: int) -> None:
    for value in ("0", "-1", "1.5", "wide", str(most + 1), "9" * 5000):
        with pytest.raises(InvalidOption, match=name) as caught:
            FileRequest.from_fields({"response_format": "srt", "max_line_width": "42", name: value})
        assert caught.value.param == name


def test_empty_fields_count_as_not_given() -> None:
    assert FileRequest.from_fields({"language": "", "temperature": "", "stream": ""}) == FileRequest()


@pytest.mark.parametrize(
    "fields",
    [
        {
            "chunking_strategy[type]": "server_vad",
            "chunking_strategy[threshold]": "0.7",
            "chunking_strategy[prefix_padding_ms]": "200",
            "chunking_strategy[silence_duration_ms]": "400",
        },
        {
            "chunking_strategy": '{"type": "server_vad", "threshold": 0.7, "prefix_padding_ms": 200, '
            '"silence_duration_ms": 400}'
        },
    ],
)
def test_chunking_strategy_sets_the_speech_detector(fields: dict[str, str]) -> None:
    assert FileRequest.from_fields(fields).vad == VadOptions(threshold=0.7, padding_ms=200, min_silence_ms=400)


def test_the_speech_detector_is_the_default_and_can_be_switched_off() -> None:
    assert FileRequest.from_fields({"chunking_strategy": "auto"}).vad == VadOptions()
    assert FileRequest.from_fields({"vad_filter": "false"}).vad is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", "sing"),
        ("language", "klingon"),
        ("temperature", "warm"),
        ("temperature", "2"),
        ("temperature", "nan"),
        ("response_format", "diarized_json"),
        ("response_format", "JSON"),
        ("timestamp_granularities[]", "word"),  # of json, which has no words
        ("timestamp_granularities[]", "letter"),
        ("highlight_words", "loudly"),
        ("stream", "true"),
        ("stream", "maybe"),
        ("vad_filter", "perhaps"),
        ("prompt", "x" * 20_000),
        ("hotwords", "x" * 20_000),
        ("hotwords", "Caf\ud83d"),
        ("beam_size", "0"),
        ("beam_size", "11"),
        ("beam_size", "five"),
        ("best_of", "1.5"),
        ("patience", "2"),  # without beams
        ("patience", "long"),
        ("length_penalty", "0.5"),  # with a single text
        ("suppress_tokens", "all"),
        ("suppress_tokens", "1, 2"),
        ("suppress_tokens", "1,"),
        ("suppress_tokens", "50257"),
        ("suppress_tokens", "-2"),
        ("suppress_tokens", ",".join(["1"] * 1_001)),
        ("chunking_strategy", "manual"),
        ("chunking_strategy", "[1]"),
        ("chunking_strategy", '{"type": "client_vad"}'),
        ("chunking_strategy", '{"threshold": 7}'),
        ("chunking_strategy", '{"threshold": "x"}'),
        ("chunking_strategy", '{"silence_duration_ms": 1.5}'),
    ],
)
def test_a_value_that_cannot_be_used_is_named(field: str, value: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        FileRequest.from_fields({field: value})
    assert caught.value.param == field
    assert field.removesuffix("[]") in str(caught.value) or value in str(caught.value)


@pytest.mark.parametrize(("name", "most"), [("prefix_padding_ms", 1000), ("silence_duration_ms", 5000)])
def test_a_number_of_the_strategy_is_named_as_it_was_sent(name: str, most: int) -> None:
    for value in (-1, most + 1):
        for fields in ({f"chunking_strategy[{name}]": str(value)}, {"chunking_strategy": f'{{"{name}": {value}}}'}):
            with pytest.raises(InvalidOption) as caught:
                FileRequest.from_fields(fields)
            assert caught.value.param == "chunking_strategy"
            said = f"chunking_strategy: {name} must be from 0 to {most} milliseconds, not {value}"
            assert str(caught.value) == said
    assert FileRequest.from_fields({f"chunking_strategy[{name}]": str(most)}).vad


@pytest.mark.parametrize("value", ["auto-per-window", " Auto-Per-Window"])
def test_each_window_may_have_its_own_language(value: str) -> None:
    request = FileRequest.from_fields({"language": value})
    assert request.language_per_window
    assert request.options.language is None
    assert not FileRequest.from_fields({"language": "de"}).language_per_window


def test_the_refusal_of_a_language_names_what_there_is() -> None:
    with pytest.raises(InvalidOption, match="'auto-per-window'") as error:
        FileRequest.from_fields({"language": "auto"})
    assert error.value.param == "language"
