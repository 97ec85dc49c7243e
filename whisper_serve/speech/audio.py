"""Audio from files: whatever FFmpeg reads, as mono float32 samples at 16 kHz, block by block.

One or two channels are mixed and resampled exactly as `ffmpeg -ac 1 -ar 16000 -c:a pcm_s16le` does, which
is what openai-whisper reads, so both hear the same samples. More channels are averaged with equal weights:
FFmpeg's own mix would drop the low-frequency channel, and most channels of recorders whose layout it does
not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TypeAlias, final

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from whisper_serve.speech.container import Reader, Source, open_container
from whisper_serve.speech.errors import AudioDecodeError, AudioTooLong, AudioTooShort

#: Samples a second, of everything from here on: what Whisper was trained on.
SAMPLE_RATE = 16_000
BLOCK_SAMPLES = SAMPLE_RATE
#: Less than this is a mistake of the recording, not speech: OpenAI's limit for a file.
SHORTEST_FILE_SECONDS = 0.1
#: Mono samples at `SAMPLE_RATE`, from -1 to 1.
Audio: TypeAlias = npt.NDArray[np.float32]

#: Sampling rates that speech may come in; outside, a few bytes would unfold into hours.
MIN_RATE, MAX_RATE = 1_000, 768_000
#: Demuxers that take the duration from the file's header; the others guess it from the bit rate.
DURATION_IN_HEADER = frozenset(
    {"aiff", "asf", "avi", "caf", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mp3", "tta", "wv"}
)
#: Seconds, and share of the announced duration, that may be missing before a file counts as cut short
#: (encoders pad, and a header may speak for the longer video).
SLACK_SECONDS, SLACK_SHARE = 0.25, 0.02
#: What adding up the durations of frames may be off by.
ROUNDING_SECONDS = 1e-3
#: Layouts left to FFmpeg's mix; unlabelled ones are called "n channels".
MIXED_BY_FFMPEG = frozenset({"mono", "stereo", "1 channels", "2 channels"})
#: The size in the header of a WAV file that was written into a pipe.
WAV_UNKNOWN_SIZES = frozenset({b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"})


@final
class AudioStream:
    """Iterator over a file's first audio stream in blocks of `block_samples`, decoded as they are asked for.

    `warnings` says, once the iteration is over, what was wrong with a file that was decoded all the same.
    Iterating raises AudioTooLong when the limit is passed, and AudioTooShort at the end of less than the least.
    Use it as a context manager, or `close` it.
    """

    def __init__(
        self,
        source: Source,
        *,
        min_seconds: float = 0.0,
        max_seconds: float | None = None,
        block_samples: int = BLOCK_SAMPLES,
    ) -> None:
        self.samples = 0
        self._block_samples = block_samples
        self.warnings: list[str] = []
        self._min_seconds, self._max_seconds = min_seconds, max_seconds
        self._reader = Reader(source)
        self._container: InputContainer | None = None
        try:
            self._container = open_container(self._reader)
            self._stream = _first_audio_stream(self._container)
            self._refuse_if_announced_too_long()
            self._blocks = self._decode(self._container)
            self._first: Audio | None = next(self._blocks, None)
            if self._first is None:
                raise AudioDecodeError(
                    f"the file has an audio stream ({self._codec}), but not one sample can be decoded"
                )
        except BaseException:
            self.close()
            raise

    @property
    def seconds(self) -> float:
        """Seconds decoded so far."""
        return self.samples / SAMPLE_RATE

    @property
    def announced_seconds(self) -> float:
        """The duration that the file's header announces; 0 where it has none that can be trusted."""
        return 0.0 if self._container is None else _announced_seconds(self._container, self._stream)

    def __iter__(self) -> AudioStream:
        return self

    def __next__(self) -> Audio:
        block, self._first = self._first, None
        if block is None:
            block = next(self._blocks)
        self.samples += len(block)
        return block

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the decoder, and the file if it was opened here; iterating further is not possible."""
        if self._container is not None:
            self._container.close()
        self._reader.close()

    @property
    def _codec(self) -> str:
        return self._stream.codec_context.name

    def _refuse_if_announced_too_long(self) -> None:
        """Raise AudioTooLong before the work is done, where the header can be trusted: an MP3 may have none."""
        if self._max_seconds is None or self._container is None or self._container.format.name == "mp3":
            return
        if self.announced_seconds > self._max_seconds * (1 + SLACK_SHARE) + SLACK_SECONDS:
            raise AudioTooLong(self._max_seconds)

    def _decode(self, container: InputContainer) -> Iterator[Audio]:
        converter = _Converter(self._block_samples)
        seconds = 0.0
        for frame in self._frames(container):
            seconds += frame.samples / _checked_rate(frame)
            if self._max_seconds is not None and seconds > self._max_seconds + ROUNDING_SECONDS:
                raise AudioTooLong(self._max_seconds)
            yield from converter.convert(frame)
        yield from converter.flush()
        if 0 < seconds < self._min_seconds:
            raise AudioTooShort(seconds, self._min_seconds)
        self._warn_if_short(container, seconds)
        self.close()

    def _frames(self, container: InputContainer) -> Iterator[av.AudioFrame]:
        """The stream's frames, without those whose data is damaged."""
        for packet in self._packets(container):
            if packet.is_corrupt:
                self._warn_if_partial()
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self._warn("the data is damaged in places: what could not be decoded is left out")

    def _packets(self, container: InputContainer) -> Iterator[av.Packet[av.AudioStream]]:
        try:
            yield from container.demux(self._stream)
        except av.FFmpegError:
            self._warn("the data is damaged: nothing could be read from there on")

    def _warn_if_partial(self) -> None:
        """FFmpeg found less data than the header says, which a WAV written into a pipe does not know."""
        if not (self._reader.head[:4] == b"RIFF" and self._reader.head[4:8] in WAV_UNKNOWN_SIZES):
            self._warn("the file is cut short: its data ends before its header says")

    def _warn_if_short(self, container: InputContainer, seconds: float) -> None:
        announced = _announced_seconds(container, self._stream)
        if seconds < announced - max(SLACK_SECONDS, SLACK_SHARE * announced):
            self._warn(
                f"the file announces {announced:.1f} s of audio but only {seconds:.1f} s could be decoded: "
                "it may be cut short"
            )

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)


def open_audio(source: Source, *, min_seconds: float = 0.0, max_seconds: float | None = None) -> AudioStream:
    """Open bytes, a path or a binary file object for decoding; the first block is decoded here.

    A seekable file object is read from its start, and left open. Raises AudioDecodeError when nothing can be
    decoded, AudioTooLong as soon as the file announces, or decoding passes, `max_seconds` (here or while
    iterating), AudioTooShort at the end of less than `min_seconds`, and OSError when a path cannot be read.
    """
    return AudioStream(source, min_seconds=min_seconds, max_seconds=max_seconds)


def load_audio(source: Source, *, max_seconds: float | None = None) -> Audio:
    """The whole of a file as one array; raises as `open_audio` and its iteration do."""
    samples = bytearray()  # grows in place: a list of blocks would need as much again while it is joined
    with open_audio(source, max_seconds=max_seconds) as stream:
        for block in stream:
            samples += block.tobytes()
    return np.frombuffer(samples, dtype=np.float32)


class _Converter:
    """Frames of any rate, sample format and layout, which may change on the way, to blocks of `Audio`."""

    def __init__(self, block_samples: int) -> None:
        self._block_samples = block_samples
        self._input: tuple[int, str, str] | None = None
        self._resampler: av.AudioResampler | None = None
        self._channels = 1

    def convert(self, frame: av.AudioFrame) -> Iterator[Audio]:
        """Raises AudioDecodeError for a layout that FFmpeg cannot convert."""
        key = (frame.sample_rate, frame.format.name, frame.layout.name)
        if self._resampler is None or key != self._input:
            yield from self.flush()
            self._input, self._resampler = key, self._new_resampler(frame)
        frame.pts = None  # time stamps may jump or run backwards; only the samples count
        try:
            blocks = self._resampler.resample(frame)
        except av.FFmpegError as error:
            raise AudioDecodeError(f"audio of {key[0]} Hz in layout {key[2]!r} cannot be converted") from error
        yield from map(self._block, blocks)

    def flush(self) -> Iterator[Audio]:
        """What the resampler still holds."""
        if self._resampler is not None:
            yield from map(self._block, self._resampler.resample(None))
            self._resampler = None

    def _new_resampler(self, frame: av.AudioFrame) -> av.AudioResampler:
        mixed = frame.layout.name in MIXED_BY_FFMPEG
        self._channels = 1 if mixed else frame.layout.nb_channels
        return av.AudioResampler(
            format="s16" if mixed else "flt",
            layout="mono" if mixed else frame.layout.name,
            rate=SAMPLE_RATE,
            frame_size=self._block_samples,
        )

    def _block(self, frame: av.AudioFrame) -> Audio:
        samples = frame.to_ndarray()[0]
        if samples.dtype == np.int16:
            scaled: Audio = samples.astype(np.float32) / np.float32(32768)
            return scaled
        mean: Audio = samples.reshape(-1, self._channels).mean(axis=1, dtype=np.float32)
        mean[np.isnan(mean)] = 0.0  # Files of floats may hold what is no number; it would silence all that is computed.
        return np.clip(mean, -1.0, 1.0, out=mean)


def _first_audio_stream(container: InputContainer) -> av.AudioStream:
    """Raises AudioDecodeError when there is none, or none that FFmpeg has a decoder for."""
    if not container.streams.audio:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no stream at all"
        raise AudioDecodeError(
            f"the file has no audio stream: FFmpeg reads it as {container.format.long_name} with {kinds}"
        )
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise AudioDecodeError("the file has an audio stream in a codec that FFmpeg cannot decode")
    stream.codec_context.thread_count = 1  # audio gains nothing from threads, and requests have their own
    return stream


def _checked_rate(frame: av.AudioFrame) -> int:
    if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
        raise AudioDecodeError(f"a sampling rate of {frame.sample_rate} Hz is outside {MIN_RATE} to {MAX_RATE} Hz")
    return frame.sample_rate


def _announced_seconds(container: InputContainer, stream: av.AudioStream) -> float:
    """The audio's duration by the file's header, 0 where the header does not say."""
    if container.format.name not in DURATION_IN_HEADER:
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return 0.0
