"""What strangers' bytes are given to: each function takes any bytes, and raises only if the code under it is wrong."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Final

import numpy as np

from whisper_serve.gateway.failures import BadUpload
from whisper_serve.gateway.live.options import LiveOptions, read_json
from whisper_serve.gateway.spool import SpoolSpace
from whisper_serve.gateway.uploads import Limits, open_upload
from whisper_serve.request import FileRequest
from whisper_serve.speech import AudioDecodeError, AudioTooLong, AudioTooShort, open_audio
from whisper_serve.wire import HEAD, MAGIC, VERSION, InvalidOption, WireError, pack_window, unpack_reply, unpack_window

Target = Callable[[bytes], None]

LONGEST_SECONDS: Final = 60.0
BOUNDARY: Final = "b"
LIMITS: Final = Limits(body_bytes=1_000_000, memory_bytes=1_000_000, idle_seconds=10, space=SpoolSpace())
_HEADERS: Final = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def audio(data: bytes) -> None:
    """A file: decoded to samples, or refused."""
    with (
        suppress(AudioDecodeError, AudioTooLong, AudioTooShort),
        open_audio(data, min_seconds=0.1, max_seconds=LONGEST_SECONDS) as stream,
    ):
        for block in stream:
            assert block.dtype == np.float32
            assert np.abs(block).max(initial=0.0) <= 1, "samples are from -1 to 1, and numbers"


def window(data: bytes) -> None:
    """A window message."""
    with suppress(WireError, InvalidOption):
        samples, options = unpack_window(data)
        again, same = unpack_window(pack_window(samples, options))
        assert (again.tobytes(), same) == (samples.tobytes(), options)


def options(data: bytes) -> None:
    """The options of a window message that is whole otherwise."""
    window(HEAD.pack(MAGIC, VERSION, 0, len(data), 0, zlib.crc32(data)) + data)


def reply(data: bytes) -> None:
    """A reply to a window message."""
    with suppress(WireError):
        unpack_reply(data)


def form(data: bytes) -> None:
    """A form, and then its fields as OpenAI's."""
    with suppress(BadUpload, InvalidOption):
        FileRequest.from_form(asyncio.run(_fields(data)))


def live(data: bytes) -> None:
    """The settings of a live stream."""
    with suppress(InvalidOption):
        LiveOptions.from_fields(read_json(data.decode("utf-8", "replace")))


async def _fields(data: bytes) -> tuple[tuple[str, str], ...]:
    async with open_upload(_HEADERS, _pieces(data), LIMITS) as upload:
        assert upload.size == len(upload.file.read())
        return upload.fields


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100):
        yield data[start : start + 100]


TARGETS: Final[Mapping[str, Target]] = {
    "audio": audio,
    "window": window,
    "options": options,
    "reply": reply,
    "form": form,
    "live": live,
}


def as_json(value: object) -> bytes:
    """JSON as it is sent."""
    return json.dumps(value, ensure_ascii=False).encode()
