"""Sound without a pause that tells what time it is: what was said in a window of it can be told from the window."""

from __future__ import annotations

import io
import wave

import numpy as np

from whisper_serve.speech import SAMPLE_RATE, Audio, Word

SECONDS = 100
SOFTEST, LOUDEST = 0.2, 0.9
PACE = 0.5
"""Seconds that each word takes."""
TEXT = [f"word{number}" for number in range(round(SECONDS / PACE))]


def ramp() -> bytes:
    """Noise that grows evenly louder for 100 s, as a WAV file."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], SECONDS * SAMPLE_RATE)
    samples = signs * np.linspace(SOFTEST, LOUDEST, SECONDS * SAMPLE_RATE, endpoint=False)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def start_of(window: Audio) -> float:
    """Where in the file a window starts, in seconds."""
    return float(abs(window[0]) - SOFTEST) / (LOUDEST - SOFTEST) * SECONDS


def words_in(window: Audio) -> list[Word]:
    """The words that lie wholly in a window."""
    start = start_of(window)
    end = start + len(window) / SAMPLE_RATE
    return [
        Word(f" {text}", round(number * PACE - start, 2), round((number + 1) * PACE - start, 2), 1.0)
        for number, text in enumerate(TEXT)
        if start - 0.01 <= number * PACE and (number + 1) * PACE <= end + 0.01
    ]
