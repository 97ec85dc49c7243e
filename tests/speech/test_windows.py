from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.speech.loudness import Loudness, scripted
from whisper_serve.speech.audio import SAMPLE_RATE, Audio, load_audio, open_audio
from whisper_serve.speech.vad import FRAME_SAMPLES, Span, VadOptions, speech_spans
from whisper_serve.speech.windows import (
    BRIDGE,
    GRID,
    LEAST_OVERLAP,
    MOST_OVERLAP,
    WINDOW_SAMPLES,
    WINDOW_SECONDS,
    Window,
    cut_windows,
)

VAD = VadOptions()
PADDING = VAD.padding_ms * SAMPLE_RATE // 1000


def audio_of(*runs: tuple[float, float]) -> Audio:
    """(probability, seconds) runs to audio for `Loudness`, in whole frames."""
    return scripted([value for value, seconds in runs for _ in range(round(seconds * SAMPLE_RATE / FRAME_SAMPLES))])


def cut(audio: Audio, vad: VadOptions | None = VAD, size: int = 10**9) -> list[Window]:
    blocks = [audio[at : at + size] for at in range(0, len(audio), size)]
    return list(cut_windows(blocks, vad, new_model=Loudness))


def placed(windows: list[Window]) -> list[Span]:
    """Where the windows lie, in samples."""
    starts = [round(window.start * SAMPLE_RATE) for window in windows]
    return [Span(start, start + len(window.audio)) for start, window in zip(starts, windows, strict=True)]


def assert_windows_of(audio: Audio, windows: list[Window]) -> None:
    """What holds for all windows: in order, no longer than 30 s, equal to their piece of the file.

    They are apart, or overlap by the seconds that both tell.
    """
    places = placed(windows)
    shared = [round(window.overlap_after * SAMPLE_RATE) for window in windows]
    assert [window.index for window in windows] == list(range(len(windows)))
    assert all(0 < len(window.audio) <= WINDOW_SAMPLES for window in windows)
    assert [0, *(window.overlap_after for window in windows)] == [*(window.overlap_before for window in windows), 0]
    assert all(not each or LEAST_OVERLAP <= each <= MOST_OVERLAP for each in shared)
    for (before, after), each in zip(pairwise(places), shared, strict=False):
        assert after.start == before.end - each if each else after.start >= before.end
    assert all(place.start % GRID == 0 for place in places)
    for window, place in zip(windows, places, strict=True):
        np.testing.assert_array_equal(window.audio, audio[place.start : place.end])


def assert_covered_once(spans: list[Span], windows: list[Window], total: int) -> None:
    """All of the speech is in one window, not counting the overlap with the one before it."""
    covered = np.zeros(total, np.int8)
    for place, window in zip(placed(windows), windows, strict=True):
        covered[place.start + round(window.overlap_before * SAMPLE_RATE) : place.end] += 1
    assert all((covered[span.start : span.end] == 1).all() for span in spans)


# Runs of speech, pauses, doubt between the thresholds, and long speech and silence.
runs = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.3, 0.42, 0.9, 0.9, 1.0]), st.floats(0.03, 3) | st.floats(0.03, 45)),
    max_size=14,
)
tails = st.integers(0, FRAME_SAMPLES - 1)


@settings(max_examples=150, deadline=None)
@given(runs=runs, tail=tails)
def test_all_speech_is_in_exactly_one_window(runs: list[tuple[float, float]], tail: int) -> None:
    audio = np.concatenate([audio_of(*runs), np.full(tail, 0.7, np.float32)])
    windows = cut(audio)
    spans = list(speech_spans([audio], VAD, new_model=Loudness))
    assert_windows_of(audio, windows)
    assert_covered_once(spans, windows, len(audio))
    for place in placed(windows):
        assert any(span.start < place.end and place.start < span.end for span in spans)


@settings(max_examples=60, deadline=None)
@given(runs=runs, tail=tails, size=st.integers(200, 700_000))
def test_windows_do_not_depend_on_the_blocks(runs: list[tuple[float, float]], tail: int, size: int) -> None:
    audio = np.concatenate([audio_of(*runs), np.full(tail, 0.7, np.float32)])
    for vad in (VAD, None):
        whole, pieces = cut(audio, vad), cut(audio, vad, size)
        assert placed(whole) == placed(pieces)
        assert_windows_of(audio, pieces)


@settings(max_examples=60, deadline=None)
@given(
    runs=runs,
    padding=st.integers(0, 1000),
    min_silence=st.integers(0, 2000),
    min_speech=st.integers(0, 1000),
)
def test_windows_are_sound_with_any_options(
    runs: list[tuple[float, float]], padding: int, min_silence: int, min_speech: int
) -> None:
    audio = audio_of(*runs)
    options = VadOptions(0.5, min_speech, min_silence, padding)
    windows = cut(audio, options)
    assert_windows_of(audio, windows)
    assert_covered_once(list(speech_spans([audio], options, new_model=Loudness)), windows, len(audio))


@settings(max_examples=60, deadline=None)
@given(runs=runs, tail=tails)
def test_without_vad_the_windows_are_the_whole_file(runs: list[tuple[float, float]], tail: int) -> None:
    audio = np.concatenate([audio_of(*runs), np.full(tail, 0.7, np.float32)])
    windows = cut(audio, None)
    assert_windows_of(audio, windows)
    own = (window.audio[round(window.overlap_before * SAMPLE_RATE) :] for window in windows)
    joined = np.concatenate([np.zeros(0, np.float32), *own])
    np.testing.assert_array_equal(joined, audio)
    assert all(window.duration >= WINDOW_SECONDS - 8 for window in windows[:-1])


@pytest.mark.parametrize("vad", [VAD, None])
def test_no_audio_no_windows(vad: VadOptions | None) -> None:
    assert cut(np.zeros(0, np.float32), vad) == []


def test_no_speech_no_windows() -> None:
    assert cut(audio_of((0.1, 100))) == []


def test_speech_is_padded_with_the_silence_around_it() -> None:
    windows = cut(audio_of((0, 10), (1, 5), (0, 20)))
    assert [round(window.start, 2) for window in windows] == [9.68]  # 300 ms before the frame, on the grid
    assert windows[0].duration == pytest.approx(5 + 2 * 0.3, abs=0.05)


def test_windows_are_filled_while_speech_fits() -> None:
    windows = cut(audio_of(*[(1, 2.5), (0, 0.4)] * 40))
    assert len(windows) == 4  # 116 s
    assert all(25 <= window.duration <= 30 for window in windows[:-1])


def test_silence_of_more_than_three_seconds_is_in_no_window() -> None:
    audio = audio_of((1, 5), (0, 3.5), (1, 5), (0, 2.5), (1, 5))
    assert [round(window.duration) for window in cut(audio)] == [5, 13]
    assert all(window.duration < 1 + 5 * 2 + BRIDGE / SAMPLE_RATE for window in cut(audio))


def test_cut_is_made_in_the_longest_silence_late_in_the_window() -> None:
    audio = audio_of((1, 12), (0, 1), (1, 9), (0, 0.8), (1, 4), (0, 0.2), (1, 20))
    windows = cut(audio)
    assert windows[0].end == pytest.approx(22 + 0.3, abs=0.05)  # not in the longer one at 12 s, nor at 26.8 s


def test_early_silence_is_better_than_a_cut_in_speech() -> None:
    windows = cut(audio_of((1, 12), (0, 1), (1, 25)))
    assert windows[0].end == pytest.approx(12.3, abs=0.05)


def test_two_windows_share_a_short_silence() -> None:
    windows = cut(audio_of((1, 25), (0, 0.2), (1, 25)))
    assert windows[0].end == windows[1].start == pytest.approx(25.1, abs=0.03)


def test_speech_without_a_pause_is_cut_where_it_is_least_likely() -> None:
    audio = audio_of((1, 26), (0.4, 0.2), (1, 40))
    windows = cut(audio)
    assert windows[0].end == pytest.approx(26.1, abs=0.1)
    assert windows[0].end - 4 <= windows[1].start <= windows[0].end - 2
    assert_windows_of(audio, windows)
    assert_covered_once([Span(0, len(audio))], windows, len(audio))


def test_speech_without_a_pause_is_cut_at_its_quietest() -> None:
    audio = audio_of((1, 70))
    quiet = slice(27 * SAMPLE_RATE + 80, 27 * SAMPLE_RATE + 480)
    # The script is in each frame's first sample: leave those, so that only the energy shows the place.
    audio[quiet] = np.where(np.arange(len(audio))[quiet] % FRAME_SAMPLES == 0, 1, 0)
    # The frames around it are the least likely, by less than the thresholds care about.
    audio[26 * SAMPLE_RATE // FRAME_SAMPLES * FRAME_SAMPLES :: FRAME_SAMPLES][:64] = 0.8
    windows = cut(audio)
    assert 26 <= windows[0].end <= 28.5
    assert windows[1].overlap_before == round(windows[0].end - windows[1].start, 2) > 0


def test_the_overlap_begins_where_speech_is_least_likely() -> None:
    windows = cut(audio_of((1, 23), (0.4, 0.2), (1, 2.8), (0.38, 0.2), (1, 40)))
    assert windows[0].end == pytest.approx(26.1, abs=0.1)
    assert windows[1].start == pytest.approx(23.1, abs=0.1)


def test_without_overlap_windows_share_nothing() -> None:
    audio = audio_of((1, 100))
    for vad in (VAD, None):
        windows = list(cut_windows([audio], vad, new_model=Loudness, overlap=False))
        assert not any(window.overlaps for window in windows)
        assert all(before.end == after.start for before, after in pairwise(windows))


def test_without_vad_windows_overlap_unless_the_cut_is_silent() -> None:
    loud, quiet = audio_of((1, 60)), audio_of((1, 27), (0.001, 0.4), (1, 33))
    assert cut(loud, None)[1].overlap_before >= 2
    assert [window.overlap_before for window in cut(quiet, None)[:2]] == [0, 0]
    assert not any(window.overlaps for window in cut(np.zeros(70 * SAMPLE_RATE, np.float32), None))


@pytest.mark.parametrize("vad", [VAD, None])
def test_file_of_thirty_seconds_is_one_window(vad: VadOptions | None) -> None:
    audio = audio_of((1, 31))
    assert [len(window.audio) for window in cut(audio[:WINDOW_SAMPLES], vad)] == [WINDOW_SAMPLES]
    assert len(cut(audio[: WINDOW_SAMPLES + 1], vad)) == 2


def test_without_vad_the_cut_is_at_the_quietest_point() -> None:
    audio = audio_of((1, 60))
    audio[27 * SAMPLE_RATE : 27 * SAMPLE_RATE + 2 * GRID] = 0.01
    assert cut(audio, None)[0].end == 27.01


@pytest.mark.parametrize("vad", [VAD, None])
def test_windows_come_while_the_file_is_still_being_decoded(vad: VadOptions | None) -> None:
    audio = audio_of(*[(1, 2.5), (0, 0.4)] * 100)
    fed = 0

    def blocks() -> Iterator[Audio]:
        nonlocal fed
        for at in range(0, len(audio), SAMPLE_RATE):
            block = audio[at : at + SAMPLE_RATE]
            fed += len(block)
            yield block

    for window in cut_windows(blocks(), vad, new_model=Loudness):
        end = round(window.end * SAMPLE_RATE)
        assert fed <= end + WINDOW_SAMPLES + SAMPLE_RATE
        assert window.audio.base is None  # holds on to nothing but its own samples


def test_windows_of_a_reading(data: Path) -> None:
    path = data / "de-librivox-simplicissimus.ogg"
    audio = load_audio(path)
    with open_audio(path) as stream:
        windows = list(cut_windows(stream))
    assert_windows_of(audio, windows)
    assert_covered_once(list(speech_spans([audio])), windows, len(audio))
    assert [round(window.duration) for window in windows[:-1]] == [28, 29]


def test_short_clip_is_one_window(data: Path) -> None:
    windows = list(cut_windows([load_audio(data / "en-jfk.mp3")]))
    assert len(windows) == 1
    assert windows[0].duration == pytest.approx(10.8, abs=0.3)


def test_corpus_windows_are_sound_and_full(corpus: Path) -> None:
    for path in sorted(corpus.glob("*/longform/*.*")):
        audio = load_audio(path)
        windows = list(cut_windows([audio]))
        assert_windows_of(audio, windows)
        assert_covered_once(list(speech_spans([audio])), windows, len(audio))
        assert np.mean([window.duration for window in windows[:-1]]) > 25, path.name
