"""A multipart body read as it comes: fields into memory, the file into a spool that goes to disk when it grows.

The names that files are sent with are never used for anything, so no name can do harm.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from whisper_serve.gateway.failures import BadUpload, UploadTooLarge
from whisper_serve.gateway.spool import Spool, SpoolSpace, paced

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS: Final = 100
MAX_FIELD_BYTES: Final = 64 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024
MAX_BOUNDARY_BYTES: Final = 70
"""RFC 2046, section 5.1.1."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large and how slow a body may be: bytes and seconds; and where it may lie."""

    body_bytes: int
    memory_bytes: int
    idle_seconds: float
    space: SpoolSpace


@dataclass(frozen=True, slots=True)
class Upload:
    """A form as it was sent: its fields in their order, and the file, which starts at its first byte."""

    fields: tuple[tuple[str, str], ...]
    file: BinaryIO
    size: int


@asynccontextmanager
async def open_upload(headers: Mapping[str, str], body: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[Upload]:
    """The form in ``body``; leaving closes the file, and so removes what is on disk.

    Raises:
        BadUpload: it is no form, has no file, or has too much of something (then `UploadTooLarge`).
        UploadTooSlow: no data came for ``idle_seconds``, or too little.
        StorageFailed: the disk takes no more of the file.
    """
    form = _Form(limits.memory_bytes, limits.space)
    parser = MultipartParser(_boundary(headers), form.callbacks())
    if announced_bytes(headers) > limits.body_bytes:
        raise _too_large(limits)
    try:
        await _feed(parser, form, body, limits)
        if not form.ended:
            raise BadUpload("the form ends before its closing boundary: it was cut off, or the boundary is wrong")
        if form.spool is None:
            raise BadUpload("file is missing: send the audio as the form's file", param="file")
        form.spool.rewind()
        yield Upload(tuple(form.fields), form.spool.file, form.spool.size)
    finally:
        if form.spool:
            form.spool.close()


def _boundary(headers: Mapping[str, str]) -> bytes:
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise BadUpload("the body must be multipart/form-data with the audio as the form's file")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise BadUpload(f"Content-Type must name the form's boundary, of 1 to {MAX_BOUNDARY_BYTES} characters")
    return boundary


def announced_bytes(headers: Mapping[str, str]) -> int:
    """How large the body is said to be; 0: it does not say."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _too_large(limits: Limits) -> UploadTooLarge:
    return UploadTooLarge(f"the body is larger than the limit of {limits.body_bytes:,} bytes", param="file")


async def _feed(parser: MultipartParser, form: _Form, body: AsyncIterator[bytes], limits: Limits) -> None:
    received = 0
    async for chunk in paced(body, len, limits.idle_seconds):
        received += len(chunk)
        if received > limits.body_bytes:
            raise _too_large(limits)
        try:
            parser.write(chunk)
        except FormParserError as error:
            raise BadUpload(f"the form cannot be read: {error}") from error
        await form.flush()


class _Form:
    """What the parser finds. ``flush`` writes what came of the file."""

    def __init__(self, memory_bytes: int, space: SpoolSpace) -> None:
        self.fields: list[tuple[str, str]] = []
        self.spool: Spool | None = None
        self.ended = False
        self._memory_bytes, self._space = memory_bytes, space
        self._parts = 0
        self._header_bytes = 0
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._name = ""
        self._field: bytearray | None = None
        self._is_audio = False
        self._pending = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end")
        found = {f"on_{name}": getattr(self, f"_on_{name}") for name in (*names, "headers_finished", "end")}
        return cast("MultipartCallbacks", found)

    async def flush(self) -> None:
        if self.spool is None or not self._pending:
            return
        data = bytes(self._pending)
        self._pending.clear()
        await self.spool.write(data)

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise UploadTooLarge(f"the form has more than {MAX_PARTS} fields")
        self._disposition = b""
        self._header_bytes = 0

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._value += data[start:end]

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise UploadTooLarge(f"the headers of a part are larger than {MAX_HEADER_BYTES:,} bytes")

    def _on_header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise BadUpload("a part of the form has no name")
        self._name = options[b"name"].decode("utf-8", "replace")
        is_file = b"filename" in options
        if self._name == "file" and not is_file:
            raise BadUpload("file must be sent as a file, with a file name, not as text", param="file")
        self._is_audio = self._name == "file"
        self._field = None if is_file else bytearray()
        if self._is_audio:
            self._begin_file()

    def _begin_file(self) -> None:
        if self.spool is not None:
            raise BadUpload("there is more than one file: send one in each request", param="file")
        self.spool = Spool(self._memory_bytes, self._space)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_audio:
            self._pending += data[start:end]
        elif self._field is not None:
            if len(self._field) + end - start > MAX_FIELD_BYTES:
                raise UploadTooLarge(f"a field is larger than {MAX_FIELD_BYTES:,} bytes", param=self._name[:100])
            self._field += data[start:end]

    def _on_part_end(self) -> None:
        if self._field is not None:
            self.fields.append((self._name, self._text(self._field)))
        self._is_audio, self._field = False, None

    def _text(self, value: bytearray) -> str:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadUpload(f"{self._name[:100]} is not text in UTF-8", param=self._name[:100]) from error

    def _on_end(self) -> None:
        self.ended = True
