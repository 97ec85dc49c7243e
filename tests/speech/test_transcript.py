from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_serve.speech.transcript import Dropped, Segment, Transcript, WindowTranscript, Word, join_texts, merge


def segment(text: str, start: float = 0.0, end: float = 1.0, words: tuple[Word, ...] = ()) -> Segment:
    return Segment(0, 0, start, end, text, (1, 2), 0.0, -0.25, 1.5, 0.01, words)


def window(*texts: str, language: str = "en", probability: float | None = 0.9) -> WindowTranscript:
    return WindowTranscript(language, probability, tuple(segment(text) for text in texts))


def test_merge_shifts_times_and_numbers_segments() -> None:
    word = Word(" two", 0.1, 0.38, 0.8)
    parts = [
        (0.53, window(" one")),
        (28.07, WindowTranscript("en", 0.9, (segment(" two", 0.02, 0.44, (word,)), segment(" three", 2.0, 3.1)))),
    ]
    merged = merge(parts, task="transcribe", duration=40.5, warnings=["cut short"])
    assert [(s.id, s.seek, s.start, s.end) for s in merged.segments] == [
        (0, 53, 0.53, 1.53),
        (1, 2807, 28.09, 28.51),
        (2, 2807, 30.07, 31.17),
    ]
    assert merged.words == (Word(" two", 28.17, 28.45, 0.8),)
    assert merged.text == "one two three"
    assert (merged.task, merged.duration, merged.warnings) == ("transcribe", 40.5, ("cut short",))


def test_merge_keeps_what_the_model_said_of_a_segment() -> None:
    kept = merge([(30.0, window(" one"))], task="translate", duration=60).segments[0]
    assert (kept.tokens, kept.temperature, kept.avg_logprob) == ((1, 2), 0.0, -0.25)
    assert (kept.compression_ratio, kept.no_speech_prob) == (1.5, 0.01)


def test_merge_adds_to_the_seek_within_the_window() -> None:
    late = WindowTranscript("en", None, (Segment(0, 150, 1.5, 2.0, " x", (), 0.0, 0.0, 1.0, 0.0),))
    assert merge([(10.0, late)], task="transcribe", duration=12).segments[0].seek == 1150


def test_merge_shifts_what_was_dropped() -> None:
    silent = WindowTranscript("en", 0.9, (), dropped=(Dropped(0.0, 2.02, "silence", "Bye."),))
    looping = WindowTranscript("en", 0.9, (segment(" la"),), dropped=(Dropped(1.0, 4.38, "repetition", "la la"),))
    merged = merge([(0.53, silent), (28.07, looping)], task="transcribe", duration=40)
    assert merged.dropped == (Dropped(0.53, 2.55, "silence", "Bye."), Dropped(29.07, 32.45, "repetition", "la la"))
    assert merged.text == "la"


@pytest.mark.parametrize(
    ("windows", "language"),
    [
        ([("fr", 0.4), ("en", 0.5), ("fr", 0.3)], "fr"),
        ([("fr", 0.5), ("en", 0.5)], "fr"),
        ([("en", 0.99), ("de", None)], "de"),
        ([], ""),
    ],
)
def test_language_of_the_file_is_the_most_probable_of_its_windows(
    windows: list[tuple[str, float | None]], language: str
) -> None:
    parts = [(0.0, window(" x", language=code, probability=p)) for code, p in windows]
    assert merge(parts, task="transcribe", duration=1).language == language


def test_a_window_without_text_has_no_say_in_the_language_where_another_has_text() -> None:
    silent, spoken = window(language="en", probability=0.9), window(" Ja.", language="de", probability=0.5)
    merged = merge([(0.0, silent), (30.0, spoken)], task="transcribe", duration=60)
    assert (merged.language, merged.language_probability) == ("de", 0.5)


@pytest.mark.parametrize(
    ("windows", "probability"),
    [
        ([(" x", "de", 0.7), (" y", "de", None), (" z", "de", None)], 0.7),
        ([("", "de", 0.1), (" x", "de", 0.7), (" y", "de", None)], 0.7),
        ([(" x", "de", 0.75), (" y", "en", 0.5), (" z", "de", 0.25)], 0.5),
        ([("", "de", 0.5), (" x", "de", None)], 0.5),
        ([("", "fr", 0.5), ("", "fr", 0.25)], 0.375),
        ([(" x", "de", None)], None),
        ([], None),
    ],
)
def test_the_language_is_as_probable_as_in_the_windows_where_it_was_found(
    windows: list[tuple[str, str, float | None]], probability: float | None
) -> None:
    parts = [(0.0, window(text, language=code, probability=p)) for text, code, p in windows]
    assert merge(parts, task="transcribe", duration=1).language_probability == probability
    assert merge(parts, task="transcribe", duration=1, language="de").language_probability is None
    assert merge(parts, task="transcribe", duration=1, language_per_window=True).language_probability is None


def test_language_that_was_asked_for_wins() -> None:
    parts = [(0.0, window(" x", language="fr"))]
    assert merge(parts, task="transcribe", duration=1, language="de").language == "de"


def test_merge_of_nothing_is_an_empty_transcript() -> None:
    assert merge([], task="transcribe", duration=2.0) == Transcript("transcribe", "", 2.0, "", ())


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        ([(" Hello.", "en"), (" World.", "en")], "Hello. World."),
        ([("Hello.", "en"), ("World.", "en")], "Hello. World."),
        ([("Hello. ", "en"), ("World.", "en")], "Hello. World."),
        ([("こんにちは。", "ja"), ("世界。", "ja")], "こんにちは。世界。"),
        ([("Hello.", "ja"), ("World in 2024.", "th"), ("“Yes”", "zh")], "Hello. World in 2024. “Yes”"),
        ([("これはAPI。", "ja"), ("GPTも", "ja"), ("20", "ja"), ("24年", "ja")], "これはAPI。GPTも2024年"),
        ([("“你好…”", "zh"), ("“OK”", "zh"), ("“是”", "zh")], "“你好…”“OK”“是”"),
        ([("ครับ", "th"), ("", "th"), ("ผม", "th")], "ครับผม"),
        ([("", "en"), (" World.", "en"), ("", "en")], "World."),
        ([], ""),
    ],
)
def test_texts_are_joined_as_their_language_is_written(texts: list[tuple[str, str]], joined: str) -> None:
    assert join_texts(texts) == joined


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 1500), st.integers(0, 1500))),
)
def test_times_are_exact_for_windows_on_the_grid(parts: list[tuple[int, int, int]]) -> None:
    """Windows start on 10 ms and Whisper's timestamps are multiples of 20 ms: no time is off by a rounding."""
    windows = [
        (start / 100, WindowTranscript("en", None, (segment(" x", first * 0.02, last * 0.02),)))
        for start, first, last in parts
    ]
    merged = merge(windows, task="transcribe", duration=1)
    expected = [((start + 2 * first) / 100, (start + 2 * last) / 100) for start, first, last in parts]
    assert [(s.start, s.end) for s in merged.segments] == expected
    assert [s.id for s in merged.segments] == list(range(len(parts)))
    assert [s.seek for s in merged.segments] == [start for start, _, _ in parts]


def test_segments_have_the_language_of_their_window_if_it_has_its_own() -> None:
    long = WindowTranscript("de", 0.5, (segment(" lang", 0.0, 9.0),))
    parts = [(0.0, window(" one", " two", language="en")), (10.0, long), (20.0, window(language="fr"))]
    merged = merge(parts, task="transcribe", duration=30, language_per_window=True)
    assert [each.language for each in merged.segments] == ["en", "en", "de"]
    assert merged.language == "de"  # most seconds, though the least probable
    plain = merge(parts, task="transcribe", duration=30)
    assert {each.language for each in plain.segments} == {""}
    silent = merge([(0.0, window(language="fr"))], task="transcribe", duration=30, language_per_window=True)
    assert (silent.language, silent.segments) == ("fr", ())
