"""Options of gRPC requests, read by way of the form fields of the REST API: so both have the same rules and words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

from whisper_serve.request import FileRequest
from whisper_serve.speech_v1 import speech_pb2
from whisper_serve.wire import InvalidOption

_AS_THEY_ARE: Final = (
    "language", "prompt", "temperature", "vad_filter", "condition_on_previous_text",
    "beam_size", "best_of", "patience", "length_penalty", "hotwords", "suppress_tokens",
)  # fmt: skip
"""Fields that the form has under the same name."""
_SUBTITLES: Final = ("highlight_words", "max_line_width", "max_line_count", "max_words_per_line")
_PATHS: Final = {
    "file": "audio",
    "chunking_strategy": "options.vad",
    "response_format": "options.render.format",
    **{name: f"options.render.{name}" for name in _SUBTITLES},
    "encoding": "encoding",
    "sample_rate": "sample_rate_hertz",
    "channels": "channel_count",
    "endpointing_ms": "options.vad.silence_duration_ms",
}
"""Where a form's field is in a request, if not in its options under the same name."""


def read_options(options: speech_pb2.TranscriptionOptions) -> FileRequest:
    """What is asked of a file.

    Raises:
        InvalidOption: a field's value cannot be used.
    """
    asked = FileRequest.from_form(tuple(_form(options)))
    # A form has room for these lists only in some of its formats; here there always is.
    words = options.word_timestamps or asked.options.word_timestamps
    granularities = asked.render.granularities | ({"word"} if options.word_timestamps else set())
    return replace(
        asked,
        options=replace(asked.options, word_timestamps=words, logprobs=options.logprobs),
        render=replace(asked.render, granularities=granularities, logprobs=options.logprobs),
    )


def read_detection(request: speech_pb2.DetectLanguageRequest) -> FileRequest:
    """The same for a file whose language is asked for; raises the same."""
    form = {**dict(_given(request, ("vad_filter",))), "chunking_strategy": _strategy(request.vad)}
    return FileRequest.from_form(tuple(form.items()))


def field_path(param: str, request: Descriptor) -> str:
    """Where what the REST API calls `param` is in a request.

    >>> field_path("chunking_strategy", speech_pb2.TranscribeRequest.DESCRIPTOR)
    'options.vad'
    >>> field_path("file", speech_pb2.TranscribeChunksRequest.DESCRIPTOR)
    'chunk'
    """
    path = _PATHS.get(param, f"options.{param}")
    if "config" in request.fields_by_name:
        return f"config.{path}" if path != "audio" else path
    if path == "audio" and "chunk" in request.fields_by_name:
        return "chunk"
    return path if "options" in request.fields_by_name else path.removeprefix("options.")


def _form(options: speech_pb2.TranscriptionOptions) -> Iterator[tuple[str, str]]:
    yield "task", _name(speech_pb2.Task, options.task, "task") or "transcribe"
    yield "chunking_strategy", _strategy(options.vad)
    yield "response_format", _name(speech_pb2.RenderFormat, options.render.format, "response_format") or "json"
    yield from _given(options, _AS_THEY_ARE)
    yield from _given(options.render, _SUBTITLES)


def _given(message: Message, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The fields that are set, as a form has them."""
    for field, value in message.ListFields():
        if field.name in names:
            yield field.name, str(value)


def _strategy(vad: speech_pb2.VadOptions) -> str:
    values: dict[str, Any] = {field.name: value for field, value in vad.ListFields()}
    return json.dumps(values)


def _name(enum: EnumTypeWrapper, value: int, param: str) -> str:
    """What a form calls an enum's value; empty for that which says nothing.

    Raises:
        InvalidOption: there is no such value.
    """
    if value not in enum.values():
        raise InvalidOption(param, f"{enum.DESCRIPTOR.name} has no value {value}")
    return lower_name(enum, value) if value else ""


def lower_name(enum: EnumTypeWrapper, value: int) -> str:
    """A value's name without that of its enum.

    >>> lower_name(speech_pb2.RenderFormat, speech_pb2.RENDER_FORMAT_VERBOSE_JSON)
    'verbose_json'
    """
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    return enum.Name(value).removeprefix(prefix).lower()
