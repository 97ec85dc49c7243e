"""Live streams at the pace of speech against a gateway: how late texts come, how good they are, what keeps up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from statistics import quantiles
from typing import Final

import numpy as np

from whisper_serve.benchmark.errors import BadPlan
from whisper_serve.client.live import LiveEvent, LiveSettings, listen_async
from whisper_serve.evaluation.corpus import Sample, read_corpus
from whisper_serve.evaluation.scores import ErrorRate, error_rate, total
from whisper_serve.evaluation.tables import markdown_rows
from whisper_serve.speech import SAMPLE_RATE, load_audio
from whisper_serve.speech.transcript import join_texts

CHUNK: Final = SAMPLE_RATE // 10
PAUSE: Final = np.zeros(SAMPLE_RATE, np.float32)
KEPT_UP_SECONDS: Final = 3.0
"""A stream whose last text comes later than this after its last audio has fallen behind."""
COLUMNS: Final = (
    "streams", "transport", "interim p50 s", "interim p95 s", "final p50 s", "final p95 s", "WER %", "WER as files %",
    "lag at the end s", "interim results a minute", "keeps up",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Speech:
    """Recordings one after the other, with pauses of a second: 16-bit samples, and what is said in them."""

    pcm: bytes
    text: str

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / SAMPLE_RATE


@dataclass(slots=True)
class Heard:
    """What came of one stream; all in seconds."""

    interims: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    lag: float = 0.0
    """From the last audio to the end of the stream."""

    @property
    def text(self) -> str:
        return join_texts((text, "en") for text in self.texts)


@dataclass(frozen=True, slots=True)
class Row:
    """What so many streams at once got; latencies are from the audio of a text's end being sent to the text."""

    streams: int
    transport: str
    interim: tuple[float, float] | None
    final: tuple[float, float] | None
    errors: ErrorRate
    file_errors: ErrorRate
    """Of the same audio, sent as files."""
    lag: float
    interims_a_minute: float

    @property
    def keeps_up(self) -> bool:
        return self.lag <= KEPT_UP_SECONDS

    def cells(self) -> list[str]:
        def pair(values: tuple[float, float] | None) -> list[str]:
            return ["–", "–"] if values is None else [f"{value:.2f}" for value in values]

        rates = [f"{rate.percent:.1f}" for rate in (self.errors, self.file_errors)]
        kept = "yes" if self.keeps_up else "no"
        return [
            str(self.streams), self.transport, *pair(self.interim), *pair(self.final), *rates, f"{self.lag:.2f}",
            f"{self.interims_a_minute:.0f}", kept,
        ]  # fmt: skip


def speeches(corpus: Path, count: int, seconds: float) -> list[Speech]:
    """As many as there are streams, each at least so long, of the English recordings of a corpus.

    Raises:
        BadPlan: it has none.
    """
    samples = [sample for sample in read_corpus(corpus) if sample.language == "en"]
    if not samples:
        raise BadPlan(f"{corpus} has no English recordings")
    return list(islice(_joined(samples, seconds), count))


def measure(url: str, streams: Sequence[Speech], as_files: Sequence[str], settings: LiveSettings) -> Row:
    """Send all at once, each at the pace of speech; ``as_files`` are their texts when sent as files."""
    heard = asyncio.run(_all(url, streams, settings))
    minutes = sum(stream.seconds for stream in streams) / 60
    return Row(
        streams=len(streams),
        transport="gRPC" if url.startswith("grpc") else "WebSocket",
        interim=_percentiles([each for one in heard for each in one.interims]),
        final=_percentiles([each for one in heard for each in one.finals]),
        errors=total(error_rate(stream.text, one.text, "en") for stream, one in zip(streams, heard, strict=True)),
        file_errors=total(error_rate(stream.text, text, "en") for stream, text in zip(streams, as_files, strict=True)),
        lag=max(one.lag for one in heard),
        interims_a_minute=sum(len(one.interims) for one in heard) / minutes,
    )


def markdown(heading: str, rows: Sequence[Row]) -> str:
    """The table, with what it is of above it."""
    return f"{heading}\n\n{markdown_rows(COLUMNS, [row.cells() for row in rows], [False, True] + [False] * 9)}"


async def _all(url: str, streams: Sequence[Speech], settings: LiveSettings) -> list[Heard]:
    # Not all begin to speak at once.
    every = (_one(url, each, settings, delay=0.37 * number) for number, each in enumerate(streams))
    return list(await asyncio.gather(*every))


async def _one(url: str, speech: Speech, settings: LiveSettings, *, delay: float) -> Heard:
    await asyncio.sleep(delay)
    heard, sent = Heard(), [0.0]
    """When each chunk went out."""

    async def speak() -> AsyncIterator[bytes]:
        started = time.perf_counter()
        for number, at in enumerate(range(0, len(speech.pcm), 2 * CHUNK), start=1):
            await asyncio.sleep(started + number * CHUNK / SAMPLE_RATE - time.perf_counter())
            sent.append(time.perf_counter())
            yield speech.pcm[at : at + 2 * CHUNK]

    async for event in listen_async(url, speak(), settings):
        now = time.perf_counter()
        if event.type == "interim":
            heard.interims.append(now - _sent(event, sent))
        elif event.type == "final":
            heard.finals.append(now - _sent(event, sent))
            heard.texts.append(f" {event.text}")
        elif event.type == "done":
            heard.lag = now - sent[-1]
    return heard


def _sent(event: LiveEvent, sent: Sequence[float]) -> float:
    """When the audio of a text's end went out."""
    assert event.end is not None
    chunk = int(-(-event.end * SAMPLE_RATE // CHUNK))
    return sent[min(chunk, len(sent) - 1)]


def _percentiles(values: Sequence[float]) -> tuple[float, float] | None:
    """The median and the 95th percentile."""
    if len(values) < 2:
        return (values[0], values[0]) if values else None
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]


def _joined(samples: Sequence[Sample], seconds: float) -> Iterator[Speech]:
    """Speeches without end, each going on where the one before stopped."""
    coming = cycle(samples)
    while True:
        pieces, texts, length = [], [], 0
        while length < seconds * SAMPLE_RATE:
            sample = next(coming)
            audio = load_audio(sample.path)
            pieces += [audio, PAUSE]
            texts.append(sample.transcript)
            length += len(audio) + len(PAUSE)
        samples_16 = (np.clip(np.concatenate(pieces), -1, 1) * 32767).astype("<i2")
        yield Speech(samples_16.tobytes(), " ".join(texts))
