from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from whisper_serve.engine import Engine
from whisper_serve.engine.weights import Weights
from whisper_serve.evaluation.borders import Comparison, Cutting, TimedWord, measure_cutting
from whisper_serve.evaluation.corpus import Sample, read_corpus
from whisper_serve.evaluation.gapless import LONGEST, Gapless, gapless, longest_pause
from whisper_serve.transcriber import Transcriber

SPOKEN = [f"w{number}" for number in range(60)]


def timed(words: Sequence[str], start: float = 0.0) -> list[TimedWord]:
    """A word each half second."""
    return [TimedWord(word, start + number / 2) for number, word in enumerate(words)]


@pytest.fixture(scope="module")
def engine(base_weights: Weights) -> Engine:
    """The base model, computing as it does by default."""
    return Engine.load(base_weights, "cpu")


@pytest.mark.parametrize(
    ("heard", "lost", "doubled", "mistaken"),
    [
        (SPOKEN, (), (), ()),
        ([*SPOKEN[:30], *SPOKEN[31:]], ("w30",), (), ()),
        ([*SPOKEN[:31], *SPOKEN[30:]], (), ("w30",), ()),
        ([*SPOKEN[:30], "wh", *SPOKEN[31:]], (), (), ("wh",)),
        ([*SPOKEN[:30], "w3", "0", *SPOKEN[31:]], (), (), ("w3", "0")),
        ([*SPOKEN[:5], *SPOKEN[6:10], "w9", *SPOKEN[10:]], (), (), ()),  # far from the border
    ],
)
def test_what_is_wrong_near_a_border_is_told(
    heard: Sequence[str], lost: Sequence[str], doubled: Sequence[str], mistaken: Sequence[str]
) -> None:
    judge = timed(SPOKEN[6:54], 3.0)
    border = Comparison(SPOKEN, timed(heard)).at(15.0, overlaps=True, judge=judge)
    assert (border.lost, border.doubled, border.mistaken) == (lost, doubled, mistaken)


def test_what_nobody_could_hear_is_no_error_of_a_border() -> None:
    deaf = [*SPOKEN[:30], *SPOKEN[31:]]
    border = Comparison(SPOKEN, timed(deaf)).at(15.0, overlaps=True, judge=timed(deaf))
    assert (border.lost, border.doubled, border.mistaken) == ((), (), ())


def test_recordings_are_joined_without_a_pause(clips: dict[str, Sample]) -> None:
    spoken = [clips["en-jfk.mp3"], clips["en-librispeech-61-70968-0000.flac"]]
    recording = gapless(spoken, 20)
    assert 20 <= recording.seconds < 33
    assert longest_pause(recording.audio) <= LONGEST
    first, second = (clip.transcript for clip in spoken)
    assert recording.transcript == " ".join([first, second, first])


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.timeout(1200)
def test_no_word_is_lost_or_doubled_where_windows_meet(engine: Engine, clips: dict[str, Sample]) -> None:
    recording = gapless([clip for clip in clips.values() if clip.language == "en"], 90)
    assert_nothing_lost(engine, recording)


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("language", "seconds"), [("en", 600), ("fr", 300)])
def test_no_word_is_lost_or_doubled_in_minutes_without_a_pause(
    engine: Engine, corpus: Path, language: str, seconds: int
) -> None:
    recording = gapless([sample for sample in read_corpus(corpus) if sample.language == language], seconds)
    assert recording.seconds >= seconds
    assert_nothing_lost(engine, recording, language)


def assert_nothing_lost(engine: Engine, recording: Gapless, language: str = "en") -> None:
    assert longest_pause(recording.audio) <= LONGEST
    cutting: Cutting = measure_cutting(Transcriber(engine), recording, language, overlap=True)
    assert cutting.overlapping >= 0.5 * len(cutting.borders) > 1
    assert (cutting.lost, cutting.doubled) == ([], [])
