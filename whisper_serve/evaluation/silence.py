"""Sound without speech: made by arithmetic, the same bytes at every call, or a corpus's own, again and again."""

from __future__ import annotations

import wave
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from whisper_serve.speech import SAMPLE_RATE, Audio, load_audio

from .corpus import NO_SPEECH, Sample

SEED: Final = 0
LOUDNESS: Final = 0.05
"""Root mean square of what is not silent: about -26 dB, as loud as quiet speech."""
MAINS_HZ: Final = 50
HARMONICS: Final = 6


def _digital_silence(samples: int) -> Audio:
    return np.zeros(samples, np.float32)


def _white_noise(samples: int) -> Audio:
    return _scaled(np.random.default_rng(SEED).standard_normal(samples))


def _pink_noise(samples: int) -> Audio:
    """White noise whose power falls with the frequency, from 1 / (length) Hz on."""
    spectrum = np.fft.rfft(np.random.default_rng(SEED).standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return _scaled(np.fft.irfft(spectrum, samples))


def _hum(samples: int) -> Audio:
    """The mains and its harmonics, each weaker than the one below."""
    time = np.arange(samples) / SAMPLE_RATE
    return _scaled(np.sum([np.sin(2 * np.pi * MAINS_HZ * n * time) / n for n in range(1, HARMONICS + 1)], axis=0))


def _scaled(samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Audio:
    scaled: Audio = (samples * (LOUDNESS / np.sqrt(np.mean(samples**2)))).astype(np.float32)
    return scaled


KINDS: Final[Mapping[str, Callable[[int], Audio]]] = {
    "digital silence": _digital_silence,
    "white noise": _white_noise,
    "pink noise": _pink_noise,
    "hum": _hum,
}


def generated_silence(folder: Path, seconds: int) -> list[Sample]:
    """A sample of each kind, whose files are written to ``folder``: other processes and servers read them too."""
    samples = []
    for name, make in KINDS.items():
        path = folder / f"{name.replace(' ', '-')}.wav"
        write_wav(path, make(seconds * SAMPLE_RATE))
        samples.append(Sample(name, path, NO_SPEECH, "", seconds=float(seconds)))
    return samples


def repeated_sounds(sounds: Sequence[Sample], folder: Path, seconds: int) -> Sample:
    """All of ``sounds`` one after the other, again and again, in a file in ``folder``."""
    path = folder / "repeated.wav"
    once = np.concatenate([load_audio(sound.path) for sound in sounds])
    write_wav(path, np.resize(once, seconds * SAMPLE_RATE))
    return Sample("all of these, again and again", path, NO_SPEECH, "", seconds=float(seconds))


def write_wav(path: Path, audio: Audio) -> None:
    """As WAV: 16 bits, mono, 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((audio.clip(-1, 1) * 32767).astype("<i2").tobytes())
