from __future__ import annotations

import threading

import numpy as np
import pytest

from tests.conftest import DATA
from tests.speech.conftest import Encode
from whisper_serve.speech import LIVE_BLOCK, SAMPLE_RATE, AudioStream, PcmDecoder, Pipe, load_audio

JFK = load_audio(DATA / "en-jfk.mp3")


def pcm(rate: int = SAMPLE_RATE, seconds: float = 2.0) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    times = np.arange(round(rate * seconds)) / rate
    return (np.sin(2 * np.pi * 300 * times) * 20_000).astype(np.int16)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_in_odd_chunks_are_those_of_the_whole(rate: int, channels: int) -> None:
    data = np.repeat(pcm(rate), channels).astype("<i2").tobytes()
    decoder = PcmDecoder(rate, channels)
    parts = [decoder.decode(data[at : at + 1001]) for at in range(0, len(data), 1001)]
    found = np.concatenate([*parts, decoder.flush()])
    assert len(found) == pytest.approx(2 * SAMPLE_RATE, abs=50)
    expected = pcm().astype(np.float32) / 32768
    inner = slice(2_000, 30_000)
    assert np.abs(found[inner] - expected[inner]).max() < 0.02


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("webm", "libopus", {"live": "1", "cluster_time_limit": "100"}),
        ("ogg", "libopus", {"page_duration": "100000"}),
        ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "100000"}),
    ],
)
def test_a_container_is_decoded_while_it_comes(
    encode: Encode, container: str, codec: str, options: dict[str, str]
) -> None:
    data = encode(np.repeat(JFK, 3), container, codec, rate=48_000, options=options)
    pipe, found, begun = Pipe(), [], threading.Event()

    def read() -> None:
        with AudioStream(pipe, block_samples=LIVE_BLOCK) as stream:  # type: ignore[arg-type]
            for block in stream:
                found.append(block)
                begun.set()

    thread = threading.Thread(target=read)
    thread.start()
    sent = 0
    while not begun.wait(0.02) and sent < len(data):
        pipe.write(data[sent : sent + 1000])
        sent += 1000
    assert sent / len(data) < 0.1  # a second of eleven
    pipe.write(data[sent:])
    pipe.end()
    thread.join(10)
    assert sum(map(len, found)) == pytest.approx(len(JFK), abs=SAMPLE_RATE // 10)
    assert max(map(len, found)) == LIVE_BLOCK


def test_a_pipe_tells_when_it_is_full_and_when_it_was_read() -> None:
    reads: list[int] = []
    pipe = Pipe(lambda: reads.append(1))
    rooms = [pipe.room]
    pipe.write(bytes(3 << 20))
    rooms.append(pipe.room)
    assert len(pipe.read(1 << 20)) == 1 << 20
    assert len(pipe.read()) == 2 << 20
    rooms.append(pipe.room)
    assert (rooms, len(reads)) == ([True, False, True], 2)
    pipe.end()
    assert pipe.read(10) == b""
    assert (pipe.tell(), pipe.seekable(), pipe.readable()) == (3 << 20, False, True)
