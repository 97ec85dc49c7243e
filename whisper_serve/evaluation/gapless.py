"""Speech without a pause, made of recordings: what is hardest to cut into windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

import numpy as np

from whisper_serve.speech import SAMPLE_RATE, Audio, SpeechError, VadOptions, load_audio, speech_spans

from .corpus import Sample

KEPT: Final = SAMPLE_RATE * 40 // 1000
"""Samples of silence that are kept before and after speech: the detector is not exact."""
PAUSES: Final = VadOptions(min_silence_ms=32, min_speech_ms=64)
"""A single frame without speech is a pause."""
LONGEST: Final = 0.2
"""Seconds of silence that no pause exceeds."""
PASSES: Final = 5
"""So often pauses are looked for again: what the detector finds depends on what was before."""
LOUDNESS: Final = 0.05
"""Root mean square that each recording is brought to: a jump in loudness would be a border of its own."""


@dataclass(frozen=True, slots=True)
class Gapless:
    """A recording without pauses, and what is said in it."""

    audio: Audio
    transcript: str

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


def gapless(samples: Sequence[Sample], seconds: float) -> Gapless:
    """The samples one after the other without their silences, again and again until they last so long.

    Samples that cannot be decoded, or in which no speech is found, are left out.

    Raises:
        ValueError: no sample is left.
    """
    pieces = [(speech, sample.transcript) for sample in samples if len(speech := _speech(sample))]
    if not pieces:
        raise ValueError("no speech was found in the recordings")
    chosen, length = [], 0
    for speech, transcript in cycle(pieces):
        chosen.append((speech, transcript))
        length += len(speech)
        if length >= seconds * SAMPLE_RATE:
            break
    audio = np.concatenate([speech for speech, _ in chosen])
    for _ in range(PASSES):
        if longest_pause(audio) <= LONGEST:
            break
        audio = _without_pauses(audio)
    return Gapless(audio, " ".join(text for _, text in chosen))


def longest_pause(audio: Audio) -> float:
    """The longest silence that the speech detector finds, in seconds."""
    return max((stop - start for start, stop in _pauses(audio)), default=0) / SAMPLE_RATE


def _speech(sample: Sample) -> Audio:
    try:
        audio = load_audio(sample.path)
    except SpeechError:
        return np.zeros(0, np.float32)
    speech = _without_pauses(audio)
    return _as_loud(speech) if len(speech) else speech


def _without_pauses(audio: Audio) -> Audio:
    kept = np.ones(len(audio), bool)
    for start, stop in _pauses(audio):
        kept[start if start == 0 else start + KEPT : stop if stop == len(audio) else stop - KEPT] = False
    return audio[kept]


def _as_loud(audio: Audio) -> Audio:
    scaled: Audio = (audio * (LOUDNESS / max(float(np.sqrt(np.mean(audio**2))), 1e-6))).clip(-1, 1).astype(np.float32)
    return scaled


def _pauses(audio: Audio) -> Iterable[tuple[int, int]]:
    """Start and end of each stretch without speech, in samples."""
    last = 0
    for span in speech_spans([audio], PAUSES):
        if span.start > last:
            yield last, span.start
        last = span.end
    if last < len(audio):
        yield last, len(audio)
