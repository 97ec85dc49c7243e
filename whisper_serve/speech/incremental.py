"""Audio that is still coming: raw samples chunk by chunk, and the bytes of a container through a pipe."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import av
import numpy as np

from whisper_serve.speech.audio import SAMPLE_RATE, Audio

PIPE_BYTES: Final = 1 << 20
"""Of a container, held between the one who sends and the one who decodes."""
LIVE_BLOCK: Final = SAMPLE_RATE // 10
"""Samples in which a container's audio is given out: 100 ms, so that nothing waits for a second to be full."""


class PcmDecoder:
    """16-bit little-endian samples of any rate, in chunks that may end within a sample, to `Audio`.

    `channels` are interleaved, and mixed with equal weights.
    """

    def __init__(self, rate: int, channels: int = 1) -> None:
        self._rate, self._channels = rate, channels
        self._rest = b""
        self._resampler = None if rate == SAMPLE_RATE else av.AudioResampler("s16", "mono", SAMPLE_RATE)

    def decode(self, data: bytes) -> Audio:
        """What is certain with these bytes."""
        data = self._rest + data
        whole = len(data) - len(data) % (2 * self._channels)
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.int16)
        if self._channels > 1:
            samples = samples.reshape(-1, self._channels).mean(axis=1).astype(np.int16)
        if self._resampler is None or not len(samples):
            return _scaled(samples)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = self._rate
        return _joined(self._resampler.resample(frame))

    def flush(self) -> Audio:
        """What the resampler still holds; nothing may come after it."""
        return _scaled(np.zeros(0, np.int16)) if self._resampler is None else _joined(self._resampler.resample(None))


class Pipe:
    """A file that one thread reads while another writes to it; reading waits for bytes, and writing never waits.

    Whoever writes looks at `room` first; `on_read` is called in the thread that reads, each time it took some.
    """

    def __init__(self, on_read: Callable[[], object] = lambda: None) -> None:
        self._on_read = on_read
        self._bytes = bytearray()
        self._changed = threading.Condition()
        self._ended = False
        self._taken = 0

    @property
    def room(self) -> bool:
        """Whether more should be written now."""
        return len(self._bytes) < PIPE_BYTES

    def write(self, data: bytes) -> None:
        with self._changed:
            self._bytes += data
            self._changed.notify()

    def end(self) -> None:
        """Nothing more is written."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, as soon as there is one; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes or self._ended)
            data = bytes(self._bytes[:size]) if size >= 0 else bytes(self._bytes)
            del self._bytes[: len(data)]
            self._taken += len(data)
        self._on_read()
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._taken

    def close(self) -> None:
        """Have the one who reads come to an end."""
        with self._changed:
            self._bytes.clear()
        self.end()


def _joined(frames: list[av.AudioFrame]) -> Audio:
    arrays = [frame.to_ndarray()[0] for frame in frames]
    return _scaled(np.concatenate(arrays) if arrays else np.zeros(0, np.int16))


def _scaled(samples: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> Audio:
    scaled: Audio = samples.astype(np.float32) / np.float32(32768)
    return scaled
