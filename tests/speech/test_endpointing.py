from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.conftest import DATA
from whisper_serve.speech import (
    SAMPLE_RATE,
    Audio,
    Begun,
    Endpointer,
    SileroVad,
    Utterance,
    VadOptions,
    load_audio,
    speech_spans,
)
from whisper_serve.speech.vad import Probabilities

VAD = VadOptions(min_silence_ms=600)


class Loud:
    """Takes for speech what is loud: samples are probabilities."""

    def probabilities(self, frames: Audio) -> Probabilities:
        probabilities: Probabilities = np.abs(frames).mean(axis=1)
        return probabilities


def tone(*parts: tuple[float, float]) -> Audio:
    """Stretches of (seconds, loudness)."""
    return np.concatenate([np.full(round(seconds * SAMPLE_RATE), loud, np.float32) for seconds, loud in parts])


def heard(audio: Audio, block: int = 1600, vad: VadOptions = VAD) -> list[Begun | Utterance]:
    endpointer = Endpointer(vad, model=Loud())
    found = [each for at in range(0, len(audio), block) for each in endpointer.push(audio[at : at + block])]
    found += endpointer.finish()
    assert endpointer.seconds == pytest.approx(len(audio) / SAMPLE_RATE)
    return found


def utterances(audio: Audio, block: int = 1600, vad: VadOptions = VAD) -> list[Utterance]:
    return [each for each in heard(audio, block, vad) if isinstance(each, Utterance)]


def test_an_utterance_ends_after_the_pause_and_has_padding_around_it() -> None:
    audio = tone((1, 0), (2, 0.9), (0.4, 0), (1, 0.9), (2, 0), (1, 0.9), (0.1, 0))
    begun, first, again, second = heard(audio)
    assert isinstance(begun, Begun)
    assert isinstance(first, Utterance)
    assert isinstance(again, Begun)
    assert isinstance(second, Utterance)
    assert (begun.number, first.number, again.number, second.number) == (0, 0, 1, 1)
    assert begun.start == first.start == pytest.approx(0.7, abs=0.05)
    assert first.end == pytest.approx(4.7, abs=0.05)
    assert np.array_equal(first.audio, audio[round(first.start * SAMPLE_RATE) : round(first.end * SAMPLE_RATE)])
    assert second.start == pytest.approx(6.1, abs=0.05)
    assert second.end == pytest.approx(7.5, abs=0.01)


def test_no_speech_is_no_utterance_and_is_not_kept() -> None:
    endpointer = Endpointer(VAD, model=Loud())
    for _ in range(60):
        assert endpointer.push(np.zeros(SAMPLE_RATE, np.float32)) == []
    assert endpointer.current() is None
    assert sum(map(len, endpointer._history._samples)) < SAMPLE_RATE
    assert endpointer.push(tone((0.08, 0.9), (1, 0))) == []  # a click
    assert endpointer.finish() == []


@pytest.mark.parametrize("block", [100, 512, 16_000, 10_000_000])
def test_the_sizes_of_blocks_do_not_matter(block: int) -> None:
    audio = tone((0.5, 0), (40, 0.9), (0.3, 0.2), (21, 0.8), (1, 0), (1, 0.9))
    expected, found = utterances(audio), utterances(audio, block)
    assert [(each.start, each.end) for each in found] == [(each.start, each.end) for each in expected]


def test_speech_without_a_pause_is_cut_where_there_is_the_least() -> None:
    audio = tone((23, 0.9), (0.3, 0.5), (14.7, 0.9), (2, 0))
    first, second = utterances(audio)
    assert 23 < first.end < 23.3
    assert second.start == first.end
    assert second.end == pytest.approx(38.3, abs=0.05)


def test_nothing_is_left_of_an_utterance_that_was_cut_in_its_last_pause() -> None:
    audio = tone((27.6, 0.9), (3, 0))
    assert len(utterances(audio)) == 1


def test_a_commit_ends_what_is_going_on() -> None:
    endpointer = Endpointer(VAD, model=Loud())
    assert endpointer.commit() == []
    endpointer.push(tone((2, 0.9)))
    current = endpointer.current()
    assert current is not None
    assert current.duration == pytest.approx(2, abs=0.1)
    (ended,) = endpointer.commit()
    assert isinstance(ended, Utterance)
    begun, second = [*endpointer.push(tone((1, 0.9))), *endpointer.finish()]
    assert begun.start == ended.end
    assert isinstance(second, Utterance)
    assert second.end == pytest.approx(3)


def test_an_utterance_is_settled_once_it_pauses_for_as_long_as_its_padding() -> None:
    endpointer = Endpointer(VAD, model=Loud())
    assert not endpointer.pausing
    seen = []
    for seconds, loud in ((1, 0.9), (0.2, 0), (0.2, 0), (0.1, 0.9), (0.1, 0), (0.3, 0)):
        assert [type(each) for each in endpointer.push(tone((seconds, loud)))] in ([], [Begun])
        seen.append((endpointer.pausing, endpointer.settled))
    assert seen == [(False, False), (True, False), (True, True), (False, False), (True, False), (True, True)]
    current = endpointer.current()
    (ended,) = endpointer.push(tone((0.4, 0)))
    assert isinstance(ended, Utterance)
    assert current is not None
    assert (ended.number, ended.start, ended.end) == (current.number, current.start, current.end)
    assert np.array_equal(ended.audio, current.audio)
    assert (endpointer.pausing, endpointer.settled) == (False, False)


@pytest.mark.parametrize("stop", [Endpointer.commit, Endpointer.finish], ids=["commit", "finish"])
def test_what_is_stopped_in_a_pause_ends_where_it_paused(stop: Callable[[Endpointer], list[Begun | Utterance]]) -> None:
    endpointer = Endpointer(VAD, model=Loud())
    endpointer.push(tone((1, 0.9), (0.5, 0)))
    current = endpointer.current()
    (ended,) = stop(endpointer)
    assert current is not None
    assert isinstance(ended, Utterance)
    assert ended.end == current.end == pytest.approx(1.3, abs=0.05)


def test_real_speech_ends_where_its_spans_end() -> None:
    audio = load_audio(DATA / "en-jfk.mp3")
    spans = list(speech_spans([audio], VAD))
    endpointer = Endpointer(VAD, model=SileroVad())
    found = [each for at in range(0, len(audio), 800) for each in endpointer.push(audio[at : at + 800])]
    ended = [each for each in [*found, *endpointer.finish()] if isinstance(each, Utterance)]
    assert len(ended) == len(spans) > 1
    for utterance, span in zip(ended, spans, strict=True):
        assert utterance.start <= span.start / SAMPLE_RATE <= utterance.start + 0.35
        assert utterance.end - 0.35 <= span.end / SAMPLE_RATE <= utterance.end
