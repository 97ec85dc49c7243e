from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisper_serve.speech.audio import SAMPLE_RATE, Audio, load_audio, open_audio
from whisper_serve.speech.errors import AudioDecodeError, AudioTooLong, AudioTooShort
from whisper_serve.speech.vad import speech_spans

Encode = Callable[..., bytes]

#: container, codec, rate, layout, bit rate
FORMATS = [
    ("wav", "pcm_s16le", 8_000, "mono", None),
    ("wav", "pcm_u8", 16_000, "mono", None),
    ("wav", "pcm_s24le", 44_100, "stereo", None),
    ("wav", "pcm_f32le", 192_000, "mono", None),
    ("wav", "pcm_alaw", 8_000, "mono", None),
    ("wav", "adpcm_ms", 22_050, "mono", None),
    ("aiff", "pcm_s16be", 11_025, "mono", None),
    ("flac", "flac", 96_000, "stereo", None),
    ("mp3", "libmp3lame", 44_100, "stereo", 64_000),
    ("ogg", "libopus", 48_000, "mono", 24_000),
    ("ogg", "flac", 32_000, "stereo", None),
    ("webm", "libopus", 48_000, "stereo", 24_000),
    ("matroska", "flac", 16_000, "mono", None),
    ("mp4", "aac", 44_100, "stereo", 64_000),
    ("mov", "pcm_s16le", 48_000, "mono", None),
    ("adts", "aac", 24_000, "mono", 48_000),
    ("asf", "wmav2", 44_100, "stereo", 64_000),
    ("ac3", "ac3", 48_000, "5.1", 192_000),
    ("avi", "mp2", 32_000, "mono", 96_000),
    ("mpegts", "mp2", 48_000, "stereo", 96_000),
    ("mpegts", "aac", 44_100, "stereo", 64_000),
]


def tone(rate: int, seconds: float = 1.5, frequency: float = 440.0) -> npt.NDArray[np.float32]:
    phase = 2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate
    return (0.4 * np.sin(phase)).astype(np.float32)


def loudest_frequency(audio: Audio) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.argmax(spectrum)) * SAMPLE_RATE / len(audio)


def wav(channels: npt.NDArray[np.float32], rate: int = SAMPLE_RATE) -> bytes:
    """(channels, n) to a 16-bit WAV without a channel mask, by other code than FFmpeg's."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(len(channels))
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes((channels.T * 32767).round().astype("<i2").tobytes())
    return file.getvalue()


def float_wav(channels: npt.NDArray[np.float32]) -> bytes:
    """(channels, n) to a WAV of 32-bit floats."""
    count, content = len(channels), channels.T.astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, count, SAMPLE_RATE, SAMPLE_RATE * 4 * count, 4 * count, 32)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


@pytest.mark.parametrize(("container", "codec", "rate", "layout", "bit_rate"), FORMATS)
def test_any_format_is_read(
    encode: Encode, container: str, codec: str, rate: int, layout: str, bit_rate: int | None
) -> None:
    planes = np.tile(tone(rate), ({"mono": 1, "stereo": 2, "5.1": 6}[layout], 1))
    file = encode(planes, container, codec, rate=rate, layout=layout, bit_rate=bit_rate)
    with open_audio(file) as stream:
        audio = np.concatenate(list(stream))
        assert stream.warnings == []
    assert audio.dtype == np.float32
    assert abs(audio).max() <= 1
    assert len(audio) / SAMPLE_RATE == pytest.approx(1.5, abs=0.15)
    assert loudest_frequency(audio[:SAMPLE_RATE]) == pytest.approx(440, abs=2)
    assert 0.2 < abs(audio[1000:20_000]).max() < 0.8


def test_samples_are_those_of_a_wav_file() -> None:
    values = np.arange(-32768, 32767, 3, dtype="<i2")
    audio = load_audio(wav((values[None] / 32767).astype(np.float32)))
    np.testing.assert_allclose(audio, values / 32768, atol=1e-7)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "str", "path", "file", "stream", "pipe"])
def test_sources_of_any_kind_give_the_same(data: Path, kind: str) -> None:
    path = data / "en-jfk.mp3"
    content = path.read_bytes()

    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, offset: int, whence: int = 0) -> int:
            raise io.UnsupportedOperation("seek")

    def pipe() -> BinaryIO:
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(reading)
            with os.fdopen(writing, "wb") as out:
                out.write(content)
            os._exit(0)
        os.close(writing)
        return os.fdopen(reading, "rb")

    makers: dict[str, Callable[[], Any]] = {
        "bytes": lambda: content,
        "bytearray": lambda: bytearray(content),
        "memoryview": lambda: memoryview(content),
        "str": lambda: str(path),
        "path": lambda: path,
        "file": lambda: path.open("rb"),
        "stream": lambda: Stream(content),
        "pipe": pipe,
    }
    source = makers[kind]()
    audio = load_audio(source)
    if hasattr(source, "close"):
        assert not source.closed  # the caller's own
        source.close()
    expected = load_audio(content)
    if kind in {"stream", "pipe"}:  # without the file's size FFmpeg does not know where the padding begins
        assert len(expected) <= len(audio) <= len(expected) + 2000
        audio, expected = audio[: len(expected) - 2000], expected[:-2000]
    np.testing.assert_array_equal(audio, expected)


def test_stream_gives_bounded_blocks_and_counts_them(data: Path) -> None:
    with open_audio(data / "en-librivox-sonnet-1.mp3") as stream:
        assert stream.samples == 0
        blocks = []
        for block in stream:
            blocks.append(block)
            assert stream.samples == sum(map(len, blocks))
        assert stream.seconds == pytest.approx(53.27, abs=0.01)
    assert max(map(len, blocks)) <= 10 * SAMPLE_RATE
    np.testing.assert_array_equal(np.concatenate(blocks), load_audio(data / "en-librivox-sonnet-1.mp3"))


def test_closed_stream_has_closed_its_file(data: Path) -> None:
    open_files = Path("/proc/self/fd")
    before = len(list(open_files.iterdir()))
    for _ in range(5):
        with open_audio(data / "en-librivox-sonnet-1.mp3") as stream:
            next(stream)
    for content in (b"", b"not audio"):
        with pytest.raises(AudioDecodeError):
            open_audio(content)
    assert len(list(open_files.iterdir())) == before


# Channels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 8, 9, 16, 32])
def test_sound_in_any_one_channel_survives(count: int) -> None:
    for channel in range(count):
        planes = np.zeros((count, SAMPLE_RATE), np.float32)
        planes[channel] = tone(SAMPLE_RATE, 1.0)
        audio = load_audio(wav(planes))
        assert abs(audio).max() == pytest.approx(0.4 / count, rel=0.02)
        assert loudest_frequency(audio) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(("container", "codec", "layout"), [("flac", "flac", "7.1"), ("mp4", "aac", "7.1")])
def test_labelled_channels_survive_too(encode: Encode, container: str, codec: str, layout: str) -> None:
    """FFmpeg itself would drop the low-frequency channel, which is the fourth of eight microphones."""
    planes = np.zeros((8, SAMPLE_RATE), np.float32)
    planes[3] = tone(SAMPLE_RATE, 1.0, 60.0)
    audio = load_audio(encode(planes, container, codec, layout=layout))
    assert abs(audio[2000:14000]).max() == pytest.approx(0.05, rel=0.3)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_heard_as_something(count: int, odd: float) -> None:
    planes = np.tile(tone(SAMPLE_RATE, 1.0), (count, 1))
    planes[:, 500] = odd
    audio = load_audio(float_wav(planes))
    assert abs(audio).max() <= 1
    assert loudest_frequency(audio[1000:]) == pytest.approx(440, abs=2)


def test_both_speakers_of_a_stereo_file_are_heard() -> None:
    planes = np.stack([tone(SAMPLE_RATE, 2.0, 300.0), tone(SAMPLE_RATE, 2.0, 700.0)])
    planes[0, SAMPLE_RATE:] = planes[1, :SAMPLE_RATE] = 0
    audio = load_audio(wav(planes))
    assert loudest_frequency(audio[:SAMPLE_RATE]) == pytest.approx(300, abs=2)
    assert loudest_frequency(audio[SAMPLE_RATE:]) == pytest.approx(700, abs=2)


def test_speech_in_the_centre_of_surround_sound_is_found(data: Path, encode: Encode) -> None:
    speech = load_audio(data / "en-jfk.mp3")
    planes = np.zeros((6, len(speech)), np.float32)
    planes[2] = speech
    mixed = load_audio(encode(planes, "flac", "flac", layout="5.1"))
    found, expected = (sum(s.end - s.start for s in speech_spans([audio])) for audio in (mixed, speech))
    assert found == pytest.approx(expected, rel=0.1)


def test_rate_and_layout_may_change_on_the_way(encode: Encode) -> None:
    parts = [
        encode(tone(16_000, 1.0), "adts", "aac", rate=16_000),
        encode(np.tile(tone(44_100, 1.0), (2, 1)), "adts", "aac", rate=44_100, layout="stereo"),
    ]
    audio = load_audio(b"".join(parts))
    assert len(audio) / SAMPLE_RATE == pytest.approx(2.0, abs=0.2)
    assert loudest_frequency(audio[-SAMPLE_RATE:-2000]) == pytest.approx(440, abs=2)


# Limits ---------------------------------------------------------------------------------------------------


def test_limit_is_kept_to_the_sample() -> None:
    file = wav(np.zeros((1, 2 * SAMPLE_RATE), np.float32))
    assert len(load_audio(file, max_seconds=2)) == 2 * SAMPLE_RATE
    with pytest.raises(AudioTooLong, match=r"longer than the limit of 1\.5 seconds") as error:
        load_audio(file, max_seconds=1.5)
    assert error.value.limit_seconds == 1.5


def test_decoding_stops_at_the_limit(encode: Encode) -> None:
    """A file of kilobytes that unfolds into hours must not be unfolded."""
    minute = encode(np.zeros(60 * 8_000, np.float32), "mp3", "libmp3lame", rate=8_000, bit_rate=8_000)

    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.taken += len(data)
            return data

    file = Counting(minute * 600)  # ten hours
    with open_audio(file, max_seconds=30) as stream, pytest.raises(AudioTooLong):
        list(stream)
    assert stream.seconds <= 31
    assert file.taken < len(file.getvalue()) / 10


def test_absurd_sampling_rate_is_refused() -> None:
    with pytest.raises(AudioDecodeError, match="a sampling rate of 10 Hz is outside 1000 to 768000 Hz"):
        load_audio(wav(np.zeros((1, 1000), np.float32), rate=10))


def test_too_short_a_file_is_refused_at_its_end(encode: Encode) -> None:
    clip = encode(np.full(800, 0.1, np.float32), "wav", "pcm_s16le")
    assert load_audio(clip).shape == (800,)
    with open_audio(clip, min_seconds=0.1) as stream, pytest.raises(AudioTooShort, match=r"0\.05 seconds long.*0\.1"):
        list(stream)


def test_a_file_that_announces_too_much_is_refused_before_decoding(encode: Encode) -> None:
    minute = encode(np.zeros(60 * 16_000, np.float32), "flac", "flac")
    with pytest.raises(AudioTooLong):
        open_audio(minute, max_seconds=10)
    with open_audio(minute, max_seconds=60) as stream:
        assert stream.announced_seconds == pytest.approx(60)


# Bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"R", "starts with the bytes 52 "),
        (b"This is plain text.\n" * 100, "text or a playlist: it starts with 'This is plain text.'"),
        (b"<!DOCTYPE html><html></html>", "starts with '<!DOCTYPE html>"),
        (np.random.default_rng(1).bytes(20_000), "not an audio or video file that FFmpeg can read"),
        (np.arange(-9000, 9000, dtype="<i2").tobytes(), "samples without a header"),
        (b"\x00\x00\x00\x20ftypM4A \x00\x00\x02\x00M4A mp42isom\x00\x00\x00\x00", "without its index"),
    ],
    ids=["empty", "one byte", "text", "html", "random", "raw samples", "mp4 without index"],
)
def test_what_is_not_audio_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    for source in (content, io.BytesIO(content)):
        with pytest.raises(AudioDecodeError) as error:
            load_audio(source)
        assert reason in str(error.value)


def test_video_without_audio_is_refused_with_what_it_is(encode: Encode) -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "PNG")
    with pytest.raises(AudioDecodeError, match="no audio stream: FFmpeg reads it as piped png sequence with video"):
        load_audio(file.getvalue())


def test_header_without_samples_is_refused() -> None:
    file = wav(np.zeros((1, 100), np.float32))[:44]
    with pytest.raises(AudioDecodeError, match=r"pcm_s16le.*not one sample can be decoded"):
        load_audio(file)


def test_missing_path_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_audio(tmp_path / "missing.wav")
    with pytest.raises(IsADirectoryError):
        load_audio(tmp_path)


def test_error_of_the_callers_file_is_the_callers() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError("the sender went away")

    with pytest.raises(ConnectionResetError, match="the sender went away"):
        load_audio(Broken())


@pytest.mark.parametrize(
    ("container", "codec", "bit_rate"),
    [("wav", "pcm_s16le", None), ("flac", "flac", None), ("mp3", "libmp3lame", 64_000)],
)
def test_file_cut_short_gives_what_there_is_and_says_so(
    encode: Encode, container: str, codec: str, bit_rate: int | None
) -> None:
    noise = np.random.default_rng(2).normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
    whole = encode(noise, container, codec, bit_rate=bit_rate)
    with open_audio(whole) as stream:
        list(stream)
        assert stream.warnings == []
    with open_audio(whole[: len(whole) // 2]) as stream:
        seconds = sum(map(len, stream)) / SAMPLE_RATE
        assert 1.4 < seconds < 2.1
        assert any("cut short" in warning for warning in stream.warnings)


def test_wav_of_unknown_length_is_not_called_cut_short() -> None:
    file = bytearray(wav(tone(SAMPLE_RATE)[None]))
    file[4:8] = file[40:44] = struct.pack("<I", 0xFFFFFFFF)
    with open_audio(file) as stream:
        assert sum(map(len, stream)) == 1.5 * SAMPLE_RATE
        assert stream.warnings == []


def test_damage_in_the_middle_is_left_out_with_a_warning(data: Path) -> None:
    file = bytearray((data / "en-jfk.mp3").read_bytes())
    middle = slice(len(file) // 3, len(file) // 2)
    file[middle] = np.random.default_rng(3).bytes(middle.stop - middle.start)
    with open_audio(file) as stream:
        assert 7 < sum(map(len, stream)) / SAMPLE_RATE <= 11.1
        assert len(stream.warnings) >= 1


@settings(max_examples=80, deadline=None)
@given(
    cut=st.integers(0, 76_000), places=st.lists(st.tuples(st.integers(0, 76_000), st.binary(max_size=64)), max_size=8)
)
def test_no_damage_raises_anything_but_our_errors(cut: int, places: list[tuple[int, bytes]]) -> None:
    file = bytearray((Path(__file__).parents[1] / "data" / "en-jfk.mp3").read_bytes())
    for at, junk in places:
        file[at : at + len(junk)] = junk
    try:
        audio = load_audio(bytes(file[cut:]), max_seconds=60)
    except (AudioDecodeError, AudioTooLong):
        return
    assert np.isfinite(audio).all()


def test_ffmpeg_writes_nothing_to_the_terminal(data: Path) -> None:
    code = (
        "import sys\nfrom whisper_serve.speech import SpeechError, load_audio\n"
        "content = open(sys.argv[1], 'rb').read()\n"
        "for file in (b'', b'text', content[:30000] + bytes(9000) + content[40000:], content[:20000], content[:700]):\n"
        "    try:\n        load_audio(file)\n    except SpeechError:\n        pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(data / "en-librivox-sonnet-1.mp3")], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")


# An hour --------------------------------------------------------------------------------------------------

MEASURE = """
import re, sys, time
from whisper_serve.speech import load_audio, open_audio
def peak():  # of this program alone: getrusage would count that of the process it was started from
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
load_audio(sys.argv[2])
before, start = peak(), time.process_time()
if sys.argv[3] == "load":
    seconds = len(load_audio(sys.argv[1])) / 16000
else:
    with open_audio(sys.argv[1]) as stream:
        seconds = sum(map(len, stream)) / 16000
print(seconds, peak() - before, seconds / (time.process_time() - start))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("how", "megabytes"), [("load", 300), ("open", 30)])
def test_an_hour_of_mp3_needs_little_memory(
    data: Path, encode: Encode, tmp_path: Path, how: str, megabytes: float
) -> None:
    clip = data / "en-jfk.mp3"
    speech = np.tile(load_audio(clip), 6)[: 60 * SAMPLE_RATE]
    minute = encode(speech, "mp3", "libmp3lame", bit_rate=64_000, options={"write_xing": "0"})
    hour = tmp_path / "hour.mp3"
    hour.write_bytes(minute * 60)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(hour), str(clip), how], capture_output=True, text=True, check=True
    )
    seconds, risen, speed = map(float, done.stdout.split())
    assert seconds == pytest.approx(3600, abs=10)
    assert (200 if how == "load" else 0) <= risen < megabytes, f"{risen:.0f} MB"  # it is measured at all
    assert speed > 200, f"{speed:.0f} times real time"
    print(f"{how}: {risen:.0f} MB, {speed:.0f} times real time")


# The corpus -----------------------------------------------------------------------------------------------

UNREADABLE = {
    "odd/broken/empty.mp3": "empty",
    "odd/broken/empty.wav": "empty",
    "odd/broken/html-named.m4a": "text",
    "odd/broken/json-named.webm": "text",
    "odd/broken/one-byte.wav": "FFmpeg can read",
    "odd/broken/png-named.mp3": "no audio stream",
    "odd/broken/random-bytes.mp3": "FFmpeg can read",
    "odd/broken/text-named.wav": "text",
    "odd/broken/truncated-half-no-moov.m4a": "index",
    "odd/broken/wav-header-only.wav": "not one sample",
    "odd/format/raw-s16le-16k-mono-no-header.pcm": "without a header",
    "odd/format/video-no-audio-track.mp4": "no audio stream",
}
WITH_WARNING = {
    "odd/broken/corrupt-middle.mp3",
    "odd/broken/truncated-half.flac",
    "odd/broken/truncated-half.mp3",
    "odd/broken/truncated-half.wav",
}


def test_every_file_of_the_corpus_decodes_or_says_why_not(
    corpus: Path, corpus_seconds: dict[str, float | None]
) -> None:
    refused, warned = {}, set()
    for name, seconds in corpus_seconds.items():
        try:
            with open_audio(corpus / name) as stream:
                decoded = sum(map(len, stream)) / SAMPLE_RATE
        except AudioDecodeError as error:
            refused[name] = str(error)
            continue
        if stream.warnings:
            warned.add(name)
        elif seconds is not None:
            assert decoded == pytest.approx(seconds, abs=0.1), name
    assert refused.keys() == UNREADABLE.keys()
    assert all(UNREADABLE[name] in reason for name, reason in refused.items())
    assert warned == WITH_WARNING
