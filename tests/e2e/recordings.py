"""Recordings that tests make: of clips joined, of silence, short and hours long."""

from __future__ import annotations

import io
import itertools
import time
import wave
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import av
import numpy as np

from whisper_serve.evaluation.corpus import Sample
from whisper_serve.speech import SAMPLE_RATE, Audio, load_audio

JFK = "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."


def wav(samples: Audio, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((channels, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(pcm(samples))
    return buffer.getvalue()


def pcm(audio: Audio) -> bytes:
    """As live streams take it: 16-bit samples, mono, little-endian."""
    return _pcm(audio).astype("<i2").tobytes()


def chunks(data: bytes, size: int = 3200, pace: float = 0.0) -> Iterator[bytes]:
    """Parts of so many bytes, each `pace` seconds after the one before."""
    for at in range(0, len(data), size):
        time.sleep(pace)
        yield data[at : at + size]


def long_silence(seconds: int) -> bytes:
    """Hours of silence in some kilobytes."""
    buffer = io.BytesIO()
    write_flac(buffer, itertools.repeat(np.zeros(SAMPLE_RATE, np.float32), seconds))
    return buffer.getvalue()


def write_flac(file: IO[bytes] | Path, blocks: Iterable[Audio]) -> None:
    """Mono, 16 bits, block by block."""
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(_pcm(block)[None], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def join(samples: Sequence[Sample], seconds: float) -> tuple[Audio, str]:
    """The samples one after the other, over and over, until it is so long, with pauses between; what is said in it."""
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    audio = {sample.name: load_audio(sample.path) for sample in samples}
    pieces: list[Audio] = []
    texts: list[str] = []
    length = 0
    for sample in itertools.cycle(samples):
        if length >= seconds * SAMPLE_RATE:
            return np.concatenate(pieces), " ".join(texts)
        pieces += [audio[sample.name], pause]
        texts.append(sample.transcript)
        length += len(audio[sample.name]) + len(pause)
    raise ValueError("there are no samples")


def _pcm(samples: Audio) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return (np.clip(samples, -1, 1) * 32767).astype(np.int16)


def stereo_wav(path: Path, spoken: Audio, *, seconds: int) -> None:
    """A 48 kHz stereo WAV file of silence, with what is spoken (16 kHz) in its middle; 192 kB for each second."""
    loud = np.repeat(np.rint(spoken * 32767).astype("<i2"), 3 * 2)  # Three samples for one, in two channels.
    half = bytes(2 * 2 * 48_000 * (seconds // 2))
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 48_000, 0, "NONE", ""))
        file.writeframes(half)
        file.writeframes(loud.tobytes())
        file.writeframes(half[loud.nbytes :])
