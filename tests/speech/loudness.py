"""Audio that carries its own script: what a model of speech shall say of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whisper_serve.speech.audio import Audio
from whisper_serve.speech.vad import FRAME_SAMPLES, Probabilities


class Loudness:
    """Takes a frame's first sample for the probability that it holds speech."""

    def probabilities(self, frames: Audio) -> Probabilities:
        return frames[:, 0]


def scripted(probabilities: Sequence[float]) -> Audio:
    """A frame of audio for each probability."""
    return np.repeat(np.asarray(probabilities, np.float32), FRAME_SAMPLES)
