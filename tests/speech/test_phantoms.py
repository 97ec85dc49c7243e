from __future__ import annotations

import pytest

from whisper_serve.speech.phantoms import PHANTOMS, without_phantoms
from whisper_serve.speech.transcript import Dropped, Segment, WindowTranscript

ALL = [phrase for phrases in PHANTOMS.values() for phrase in phrases]


def window(*texts: str, no_speech_prob: float = 0.1) -> WindowTranscript:
    """Segments of two seconds each."""
    segments = (
        Segment(number, 0, 2.0 * number, 2.0 * number + 2, text, (1,), 0.0, -0.3, 1.0, no_speech_prob)
        for number, text in enumerate(texts)
    )
    return WindowTranscript("en", None, tuple(segments))


@pytest.mark.parametrize("phrase", ALL)
def test_each_is_known_however_it_is_written(phrase: str) -> None:
    for text in (phrase, f" {phrase.lower()}", f" - {phrase.rstrip('.!')}…"):
        assert without_phantoms(window(text), 20.0, searched=False).segments == ()


@pytest.mark.parametrize(
    "texts",
    [
        (" Thanks for watching!", " Please subscribe."),
        (" Thanks for watching! Thanks for watching!",),
        (" Untertitel im Auftrag des ZDF für funk, 2018",),
        (" Sous-titres réalisés par la communauté", " d’Amara.org"),
    ],
)
def test_several_segments_and_phantoms_are_one_drop(texts: tuple[str, ...]) -> None:
    heard = without_phantoms(window(*texts), 20.0, searched=False)
    said = "".join(texts).strip()
    assert heard == WindowTranscript("en", None, (), dropped=(Dropped(0.0, 2.0 * len(texts), "phantom", said),))


@pytest.mark.parametrize(
    ("no_speech_prob", "seconds", "searched", "stays"),
    [
        (0.1, 20.0, True, True),
        (0.6, 1.1, True, True),
        (0.1, 20.0, False, False),
        (0.7, 20.0, True, False),
        (0.1, 0.9, True, False),
    ],
)
def test_where_speech_was_found_they_stay(no_speech_prob: float, seconds: float, searched: bool, stays: bool) -> None:
    heard = window(" Thanks for watching!", no_speech_prob=no_speech_prob)
    assert (without_phantoms(heard, seconds, searched=searched) == heard) is stays


@pytest.mark.parametrize(
    "text", [" Thank you.", " She said: thanks for watching!", " Thanks for watching the dog.", " ...", ""]
)
def test_other_texts_stay(text: str) -> None:
    heard = window(text, no_speech_prob=0.9)
    assert without_phantoms(heard, 0.5, searched=False) == heard


def test_a_window_without_segments_stays() -> None:
    assert without_phantoms(window(), 20.0, searched=False) == window()


def test_what_was_dropped_before_stays_in_the_report() -> None:
    before = Dropped(0.0, 9.0, "repetition", "Please subscribe.")
    heard = WindowTranscript("en", None, window(" Please subscribe.").segments, dropped=(before,))
    assert without_phantoms(heard, 20.0, searched=False).dropped == (
        before,
        Dropped(0.0, 2.0, "phantom", "Please subscribe."),
    )
