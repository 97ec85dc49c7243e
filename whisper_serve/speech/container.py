"""Opening files that strangers sent: FFmpeg, through PyAV, on the bytes given and on nothing else.

FFmpeg reads kinds of files that name further files or addresses (playlists, session descriptions, image
sequences). Those demuxers, and every protocol, are switched off, so that the content of an upload can neither
read a file of this machine nor reach the network.
"""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeAlias

import av
from av.container import InputContainer

from whisper_serve.speech.errors import AudioDecodeError

Source: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO

#: Bytes FFmpeg asks for at a time; larger reads mean fewer calls into Python.
READ_BYTES = 1 << 18
#: Packets FFmpeg may look at to guess a codec that the container does not name. It suspects other codecs within
#: every stereo WAV, and with its own limit (2,500) takes 30 ms to find none.
PROBE_PACKETS = 10
#: Bytes kept from the start, to say what a file that cannot be read looks like.
HEAD_BYTES = 64
#: Demuxers of files whose content names other files or addresses (FFmpeg flags those that open devices).
NESTING_FORMATS = frozenset({"concat", "dash", "hls", "sdp", "vobsub", "webm_dash_manifest"})


class Reader:
    """The file object FFmpeg reads from: counts what was read and keeps the first bytes.

    A path is opened here and closed by `close`; a caller's file object stays open.
    """

    def __init__(self, source: Source) -> None:
        self.bytes_read = 0
        self.head = b""
        self._owned = isinstance(source, (bytes, bytearray, memoryview, str, os.PathLike))
        self._file = _file(source)
        self._seekable = self._file.seekable()
        if self._seekable:
            self._file.seek(0)

    def read(self, size: int) -> bytes:
        data = self._file.read(size) or b""
        if len(self.head) < HEAD_BYTES and self.bytes_read == len(self.head):
            self.head += data[: HEAD_BYTES - len(self.head)]
        self.bytes_read += len(data)
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if self._owned:
            self._file.close()


def open_container(reader: Reader) -> InputContainer:
    """The container that the reader's bytes hold.

    Raises AudioDecodeError, saying what was found, when FFmpeg cannot read it.
    """
    options = {
        "format_whitelist": _allowed_formats(),
        "protocol_whitelist": "none",
        "max_probe_packets": str(PROBE_PACKETS),
    }
    try:
        return av.open(
            reader,
            "r",
            container_options=options,
            metadata_errors="replace",
            buffer_size=READ_BYTES,
            io_open=_refuse_nested,
        )
    except av.FFmpegError as error:
        raise AudioDecodeError(_unreadable(reader)) from error


def _file(source: Source) -> BinaryIO:
    if isinstance(source, (str, os.PathLike)):
        return Path(source).open("rb")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    return source


@cache
def _allowed_formats() -> str:
    """The names of all demuxers that open nothing by themselves, as FFmpeg's option wants them."""
    return ",".join(name for name in sorted(av.formats_available) if _is_self_contained(name))


def _is_self_contained(name: str) -> bool:
    try:
        demuxer = av.ContainerFormat(name, "r")
    except ValueError:  # a format that can only be written
        return False
    return not demuxer.no_file and not NESTING_FORMATS & set(name.split(","))


def _refuse_nested(url: str, flags: int, options: dict[str, str]) -> None:
    raise AudioDecodeError("the file refers to another one, and only what was sent is read")


def _unreadable(reader: Reader) -> str:
    head = reader.head
    if not reader.bytes_read:
        return "the file is empty"
    if head[4:8] == b"ftyp":
        return "the file is an MP4 without its index (the moov box): it is cut short or was not finished"
    if text := _as_text(head):
        return f"the file is not audio or video but text or a playlist: it starts with {text!r}"
    return (
        "the file is not an audio or video file that FFmpeg can read: it starts with the bytes "
        f"{head[:8].hex(' ')} (samples without a header are not recognised: send them as WAV)"
    )


def _as_text(head: bytes) -> str:
    """The first line of the head if it is printable text, else nothing."""
    text = head.decode("utf-8", errors="ignore")
    printable = all(character.isprintable() or character in "\r\n\t" for character in text)
    return text.strip()[:32].splitlines()[0] if printable and len(text.strip()) > 3 else ""
