"""What is transcribed: recordings of a corpus, joined to one and as files of their own, and short clips of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.errors import CorpusError
from whisper_serve.evaluation.silence import write_wav
from whisper_serve.speech import SAMPLE_RATE, Audio, load_audio, open_audio

LONGEST_SECONDS: Final = 60.0
"""A recording that is longer is left out: eight requests at once should be about as long as each other."""
PAUSE_SECONDS: Final = 0.5
CLIP_SECONDS: Final = (10, 30)


@dataclass(frozen=True, slots=True)
class Material:
    """The recordings, and the files that were made of them."""

    samples: tuple[Sample, ...]
    repeated: bool
    """Whether recordings come more than once, as the corpus has too few."""
    seconds: float
    """Of speech and what is between, as files of their own."""
    joined: Path
    """One WAV file of all of them, with pauses between."""
    joined_seconds: float
    clips: Mapping[int, Path]
    """The beginning of the joined file, by its length in seconds."""

    @property
    def transcript(self) -> str:
        return " ".join(sample.transcript for sample in self.samples)


def gather(samples: Sequence[Sample], language: str, seconds: float, folder: Path) -> Material:
    """At least so many seconds of a language, in an order that is always the same; files are written to ``folder``.

    Raises CorpusError when no recording of the language is short enough.
    """
    spoken = [sample for sample in samples if sample.language == language]
    random.Random(0).shuffle(spoken)  # noqa: S311  an order, not a secret
    taken: list[Sample] = []
    audio: list[Audio] = []
    for sample, heard in _again_and_again(spoken):
        taken.append(sample)
        audio.append(heard)
        if sum(map(len, audio)) >= seconds * SAMPLE_RATE:
            break
    if not taken:
        raise CorpusError(f"no recording of the corpus is in {language!r} and at most {LONGEST_SECONDS:.0f} s long")
    joined = _join(audio)
    write_wav(folder / "joined.wav", joined)
    for length in CLIP_SECONDS:
        write_wav(folder / f"clip-{length}.wav", np.resize(joined, length * SAMPLE_RATE))
    return Material(
        samples=tuple(taken),
        repeated=len(taken) > len({sample.name for sample in taken}),
        seconds=sum(map(len, audio)) / SAMPLE_RATE,
        joined=folder / "joined.wav",
        joined_seconds=len(joined) / SAMPLE_RATE,
        clips={length: folder / f"clip-{length}.wav" for length in CLIP_SECONDS},
    )


def _again_and_again(samples: Sequence[Sample]) -> Iterator[tuple[Sample, Audio]]:
    """Those that are short enough, round after round; nothing if there are none."""
    short = []
    for sample in samples:
        if (audio := _short(sample.path)) is not None:
            short.append((sample, audio))
            yield sample, audio
    while short:
        yield from short


def _short(path: Path) -> Audio | None:
    """The recording, unless it is too long; what says so itself is not decoded."""
    with open_audio(path) as stream:
        if stream.announced_seconds > LONGEST_SECONDS:
            return None
    audio = load_audio(path)
    return audio if len(audio) <= LONGEST_SECONDS * SAMPLE_RATE else None


def _join(audio: Sequence[Audio]) -> Audio:
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
    pieces = [piece for one in audio for piece in (one, pause)]
    return np.concatenate(pieces[:-1])
