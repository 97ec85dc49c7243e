"""What mutations start from: bytes that are right, for each target."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import av
import numpy as np

from tests.e2e.recordings import wav
from tests.fuzz.targets import BOUNDARY, as_json
from whisper_serve.speech import SAMPLE_RATE, Audio, Segment, TokenLogprob, WindowTranscript, Word, load_audio
from whisper_serve.wire import ErrorReply, WindowOptions, pack_reply, pack_window

DATA: Final = Path(__file__).parents[1] / "data"
FORMATS: Final = {
    "mp3": ("libmp3lame", 44_100),
    "flac": ("flac", 16_000),
    "opus": ("libopus", 48_000),
    "mp4": ("aac", 44_100),
    "matroska": ("aac", 44_100),
    "webm": ("libopus", 48_000),
    "aiff": ("pcm_s16be", 16_000),
    "caf": ("alac", 16_000),
    "adts": ("aac", 44_100),
}
"""Containers, each with a codec and a sampling rate."""
HEAD_BYTES: Final = 20_000
"""Of the recordings."""
WORDS: Final = {
    "language": "en",
    "task": "translate",
    "prompt": "Zürich, 1984",
    "hotwords": "Kubernetes",
    "word_timestamps": True,
    "logprobs": True,
}
FIELDS: Final = {
    "model": "whisper-1",
    "language": "english",
    "prompt": "names",
    "response_format": "verbose_json",
    "timestamp_granularities[]": "word",
    "include[]": "logprobs",
    "temperature": "0.4",
    "best_of": "3",
    "suppress_tokens": "1,2,3",
    "chunking_strategy": '{"type": "server_vad", "threshold": 0.5}',
}
SUBTITLES: Final = {"response_format": "vtt", "max_line_width": "30", "max_line_count": "2", "highlight_words": "true"}
LIVE: Final = {
    "language": "de",
    "sample_rate": 48_000,
    "channels": 2,
    "encoding": "container",
    "endpointing_ms": 500,
    "words": True,
    "beam_size": "2",
}


def spoken() -> Audio:
    """Half a second of speech."""
    return load_audio(DATA / "en-jfk.mp3")[SAMPLE_RATE : SAMPLE_RATE * 3 // 2]


def audio_files() -> Iterator[bytes]:
    """Recordings of many kinds, and the first bytes of our clips."""
    yield wav(spoken())
    yield wav(np.repeat(spoken(), 2), channels=2)
    yield from (encoded(container, codec, rate) for container, (codec, rate) in FORMATS.items())
    for path in sorted(DATA.glob("*.*")):
        if path.suffix in (".mp3", ".ogg", ".flac"):
            yield path.read_bytes()[:HEAD_BYTES]


def encoded(container: str, codec: str, rate: int) -> bytes:
    """The speech as a file of that container."""
    buffer = io.BytesIO()
    samples = (spoken() * 32767).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def windows() -> Iterator[bytes]:
    """Window messages."""
    yield pack_window(spoken(), WindowOptions())
    yield pack_window(np.zeros(10, np.float32), WindowOptions(**WORDS))  # type: ignore[arg-type]


def option_texts() -> Iterator[bytes]:
    """Options of windows as JSON."""
    yield as_json({})
    yield as_json(WORDS)
    yield as_json({"temperature": 0.2, "best_of": 5, "length_penalty": 0.5})
    yield as_json({"beam_size": 5, "patience": 2.0, "suppress_tokens": [1, 2], "draft_tokens": [3, 4]})


def replies() -> Iterator[bytes]:
    """Replies with all that they may hold."""
    logprob = TokenLogprob(" said", tuple(b" said"), -0.1)
    segment = Segment(0, 0, 0.0, 1.0, " said", (1,), 0.0, -0.1, 1.0, 0.1, (Word(" said", 0.0, 1.0, 0.9),), (logprob,))
    yield pack_reply(WindowTranscript("en", 0.9, (segment,), {"en": 0.9}))
    yield pack_reply(ErrorReply(400, "no", "invalid_request_error", "language", "invalid_value"))


def forms() -> Iterator[bytes]:
    """Forms as clients send them."""
    for fields in ({}, FIELDS, SUBTITLES):
        parts = [part(f'name="{name}"', value.encode()) for name, value in fields.items()]
        yield b"".join([*parts, part('name="file"; filename="a.wav"', b"audio"), f"--{BOUNDARY}--\r\n".encode()])


def part(disposition: str, value: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + value + b"\r\n"


def live_settings() -> Iterator[bytes]:
    """Settings of live streams."""
    yield as_json({})
    yield as_json(LIVE)


SEEDS: Final[Mapping[str, Callable[[], Iterator[bytes]]]] = {
    "audio": audio_files,
    "window": windows,
    "options": option_texts,
    "reply": replies,
    "form": forms,
    "live": live_settings,
}
