"""What strangers send must open nothing but itself."""

from __future__ import annotations

import socket
from pathlib import Path

import av
import pytest

from whisper_serve.speech.audio import load_audio
from whisper_serve.speech.container import NESTING_FORMATS, Reader, _allowed_formats
from whisper_serve.speech.errors import AudioDecodeError

PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile {name}\n",
    "ffconcat with a protocol": "ffconcat version 1.0\nfile file:{name}\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:11\n#EXTINF:11,\n{name}\n#EXT-X-ENDLIST\n",
    "m3u8 with an address": "#EXTM3U\n#EXT-X-TARGETDURATION:11\n#EXTINF:11,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "session description": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD><Period><BaseURL>{name}</BaseURL></Period></MPD>',
}


@pytest.fixture
def victim(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that an upload may want to have read, in the working directory."""
    path = tmp_path / "victim.mp3"
    path.write_bytes((data / "en-jfk.mp3").read_bytes())
    monkeypatch.chdir(tmp_path)
    return path


def test_plain_ffmpeg_reads_the_other_file(victim: Path) -> None:
    """The danger is real: this is what the tests below guard against."""
    Path("list").write_text(PLAYLISTS["ffconcat"].format(name=victim.name), encoding="utf-8")
    with av.open("list", format="concat") as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 100_000


@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_are_refused(victim: Path, kind: str, as_file: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    content = PLAYLISTS[kind].format(name=victim.name, path=victim, port=port).encode()
    listing = victim.with_suffix(".ffconcat" if "concat" in kind else ".m3u8")
    listing.write_bytes(content)
    with pytest.raises(AudioDecodeError, match="text or a playlist: it starts with"):
        load_audio(listing if as_file else content)


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/a.mp3", "concat:victim.mp3|victim.mp3", "file:victim.mp3"])
def test_a_string_is_a_path_and_never_an_address(victim: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        load_audio(name)


def test_demuxers_that_open_things_are_off() -> None:
    allowed = set(_allowed_formats().split(","))
    assert not allowed & NESTING_FORMATS
    assert not allowed & {"lavfi", "rtsp", "rtp", "sap", "alsa", "image2", "x11grab"}
    assert {"wav", "mp3", "flac", "ogg", "mov", "matroska", "webm", "asf", "aac", "aiff"} <= allowed


def test_reader_counts_and_keeps_the_head() -> None:
    reader = Reader(bytes(range(200)))
    assert reader.read(3) == b"\x00\x01\x02"
    reader.read(150)
    reader.seek(0)
    reader.read(10)
    assert reader.head == bytes(range(64))
    assert reader.bytes_read == 163
