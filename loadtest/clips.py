"""The recordings that users send: those of a corpus, long ones as often as their length asks for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import av
import numpy as np

from whisper_serve.evaluation.corpus import read_corpus
from whisper_serve.speech import load_audio


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording, in memory; `seconds` is its length and `transcript` what is said in it."""

    name: str
    language: str
    transcript: str
    seconds: float
    content: bytes = field(repr=False)

    def pcm(self) -> bytes:
        """The audio as 16-bit mono samples at 16 kHz, little-endian."""
        samples = load_audio(self.content)
        return (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()


@dataclass(frozen=True)
class Clips:
    """Clips to choose from."""

    all: Sequence[Clip]

    @staticmethod
    def read(corpus: Path, longest: float = float("inf")) -> Clips:
        """All clips with a transcript of at most ``longest`` seconds.

        Raises:
            CorpusError: the manifest cannot be read.
            ValueError: no clip is short enough.
        """
        clips = [
            Clip(sample.name, sample.language, sample.transcript, seconds, content)
            for sample in read_corpus(corpus)
            if (seconds := _seconds(content := sample.path.read_bytes())) <= longest
        ]
        if not clips:
            raise ValueError(f"{corpus} has no clip with a transcript of at most {longest:g} s")
        return Clips(clips)

    def choose(self, chance: random.Random) -> Clip:
        """A clip, the longer the likelier: each second of the corpus is sent as often as any other."""
        return chance.choices(self.all, [clip.seconds for clip in self.all])[0]

    @property
    def longest(self) -> float:
        return max(clip.seconds for clip in self.all)


def _seconds(content: bytes) -> float:
    """The length of a recording as its header tells it, or else counted."""
    with av.open(BytesIO(content), mode="r") as container:
        if container.duration:
            return float(container.duration) / av.time_base
    return len(load_audio(content)) / 16_000
