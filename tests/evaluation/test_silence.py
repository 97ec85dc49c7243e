from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whisper_serve.evaluation.silence import LOUDNESS, generated_silence, repeated_sounds
from whisper_serve.speech import SAMPLE_RATE, Audio, load_audio


@pytest.fixture
def sounds(tmp_path: Path) -> dict[str, Audio]:
    return {sample.name: load_audio(sample.path) for sample in generated_silence(tmp_path, seconds=4)}


def test_each_kind_is_as_long_as_asked_for(sounds: dict[str, Audio], tmp_path: Path) -> None:
    assert list(sounds) == ["digital silence", "white noise", "pink noise", "hum"]
    assert {len(audio) for audio in sounds.values()} == {4 * SAMPLE_RATE}
    assert {(one.language, one.seconds) for one in generated_silence(tmp_path, 4)} == {("none", 4.0)}


def test_silence_is_silent_and_the_others_are_equally_loud(sounds: dict[str, Audio]) -> None:
    loudness = {name: float(np.sqrt(np.mean(audio**2))) for name, audio in sounds.items()}
    assert loudness.pop("digital silence") == 0
    assert list(loudness.values()) == pytest.approx([LOUDNESS] * 3, rel=0.01)


def test_noises_have_their_colours(sounds: dict[str, Audio]) -> None:
    def power(name: str, low: int, high: int) -> float:
        spectrum = np.abs(np.fft.rfft(sounds[name])) ** 2
        return float(spectrum[4 * low : 4 * high].sum())

    # White noise has power by bandwidth, pink noise by octaves, hum at the mains and above.
    assert power("white noise", 4000, 8000) / power("white noise", 1000, 2000) == pytest.approx(4, rel=0.1)
    assert power("pink noise", 4000, 8000) / power("pink noise", 1000, 2000) == pytest.approx(1, rel=0.1)
    assert power("hum", 45, 55) > 0.6 * power("hum", 0, 8000)


def test_sounds_are_repeated_until_it_is_long_enough(tmp_path: Path) -> None:
    sounds = generated_silence(tmp_path, 1)
    again = load_audio(repeated_sounds(sounds, tmp_path, 6).path)
    once = np.concatenate([load_audio(one.path) for one in sounds])
    assert again == pytest.approx(np.concatenate([once, once[: 2 * SAMPLE_RATE]]), abs=1e-4)


def test_it_is_the_same_at_every_call(tmp_path: Path) -> None:
    first, second = ([one.path.read_bytes() for one in generated_silence(tmp_path, 1)] for _ in range(2))
    assert first == second
