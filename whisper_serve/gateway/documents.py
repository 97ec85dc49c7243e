"""The OpenAPI document's description of forms and answers, which FastAPI cannot read from the routes."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from whisper_serve.gateway.shapes import ErrorEnvelope
from whisper_serve.request import (
    LANGUAGE_PER_WINDOW,
    STREAMED_FORMATS,
    SUBTITLE_FORMATS,
    SUBTITLE_LIMITS,
    TOKENS_PATTERN,
    WORD_FORMATS,
)
from whisper_serve.speech import LANGUAGES
from whisper_serve.wire import MAX_PATIENCE, MAX_PROMPT_CHARACTERS, MAX_TEXTS

Schema = dict[str, Any]


def _header(description: str, **schema: Any) -> Schema:
    return {"description": description, "required": True, "schema": schema}


_REQUEST_ID: Final[Schema] = {
    "x-request-id": _header("The request's own, or a new one; it is in the log too.", type="string", minLength=1)
}
_RETRY: Final[Schema] = {
    "Retry-After": _header("Seconds after which to try again.", type="integer", minimum=1),
    "retry-after-ms": _header("The same in milliseconds.", type="integer", minimum=0),
}
_AHEAD: Final[Schema] = {
    "x-audio-seconds-ahead": {
        "description": "How much audio the model still has to do, in seconds.",
        "schema": {"type": "integer", "minimum": 0},
    }
}
_DO_NOT_RETRY: Final[Schema] = {"x-should-retry": _header("It would fail again.", type="string", enum=["false"])}
_HEADERS: Final[dict[int, Schema]] = {
    401: {"WWW-Authenticate": _header("How to send a key.", type="string", enum=["Bearer"])},
    408: _DO_NOT_RETRY,
    429: {**_RETRY, **_AHEAD},
    500: _DO_NOT_RETRY,
    503: _RETRY,
    504: _DO_NOT_RETRY,
    507: _RETRY,
}
_TELLING: Final = {
    400: "A field has a value that cannot be used, or the file holds no audio; `param` names the field.",
    401: "No API key, or one that is not known.",
    404: "There is no such model.",
    408: "The body came too slowly.",
    413: "The body or the audio in it is larger than the limit.",
    422: "The model fails on this audio, whenever it is tried.",
    429: "Too much audio is waiting: try again after `Retry-After`.",
    500: "The server failed.",
    503: "No model is ready, or the server is about to stop: try again after `Retry-After`.",
    504: "The request took longer than it may.",
    507: "The server has no room to store the file: try again after `Retry-After`.",
}
AUDIO_ERRORS: Final = (400, 401, 404, 408, 413, 422, 429, 500, 503, 504, 507)

_FILE: Final[Schema] = {
    "type": "string",
    "format": "binary",
    "description": "Audio or video in any format that FFmpeg decodes: flac, mp3, mp4, m4a, ogg, wav, webm and more.",
}
_STRATEGY: Final[Schema] = {
    "chunking_strategy": {"type": "string", "description": "`auto`, or an object as JSON.", "enum": ["auto"]},
    "chunking_strategy[type]": {"type": "string", "enum": ["server_vad"]},
    "chunking_strategy[threshold]": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "description": "How sure the speech detector has to be.",
    },
    "chunking_strategy[prefix_padding_ms]": {"type": "integer", "minimum": 0, "maximum": 1000},
    "chunking_strategy[silence_duration_ms]": {"type": "integer", "minimum": 0, "maximum": 5000},
    "vad_filter": {"type": "boolean", "default": True, "description": "Look for speech; false takes all audio."},
}
_DECODING: Final[Schema] = {
    "prompt": {
        "type": "string",
        "maxLength": MAX_PROMPT_CHARACTERS,
        "description": "Text that comes before the audio's, for its names and style.",
    },
    "temperature": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0,
        "description": "0 searches with beams where a result is improbable, and is raised where that fails.",
    },
    "response_format": {
        "type": "string",
        "enum": ["json", "text", "srt", "verbose_json", "vtt", "tsv"],
        "default": "json",
    },
    "condition_on_previous_text": {
        "type": "boolean",
        "default": False,
        "description": "One window after the other, each with the text before it as prompt: slower.",
    },
    "stream": {"type": "boolean", "default": False, "description": "Send events as the text comes."},
    "language": {
        "type": "string",
        "enum": [*sorted(LANGUAGES), LANGUAGE_PER_WINDOW],
        "description": "Spoken in the audio, as ISO 639-1; by default it is found out once for all of it. "
        f"`{LANGUAGE_PER_WINDOW}` finds it out for each window of at most 30 s, in recordings of several languages.",
    },
}
_INCLUDE: Final = ("include[]", "include")
_GRANULARITIES: Final = ("timestamp_granularities[]", "timestamp_granularities")
_REPEATED: Final[Schema] = {
    **{name: {"type": "array", "items": {"type": "string", "enum": ["logprobs"]}} for name in _INCLUDE},
    **{
        name: {
            "type": "array",
            "items": {"type": "string", "enum": ["segment", "word"]},
            "description": "Which lists `verbose_json` holds; words also time `srt` and `vtt`. They cost some time.",
        }
        for name in _GRANULARITIES
    },
}
_SEARCH: Final[Schema] = {
    "beam_size": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_TEXTS,
        "description": "At temperature 0: texts that are searched side by side; by default one, and two where the "
        "model is unsure of that. 1 is fastest.",
    },
    "patience": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": MAX_PATIENCE,
        "description": "With `beam_size`: the search ends once so many times as many texts have ended; 1 if left out.",
    },
    "best_of": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_TEXTS,
        "description": "At temperatures above 0, those of a fallback too: samples, of which the likeliest is taken.",
    },
    "length_penalty": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": "With `beam_size` or `best_of`: how much length counts where texts are compared. "
        "By default the mean of a token counts.",
    },
    "hotwords": {
        "type": "string",
        "maxLength": MAX_PROMPT_CHARACTERS,
        "description": "Words and names that are likely to come; unlike a prompt's, they stay for each window.",
    },
    "suppress_tokens": {
        "type": "string",
        "pattern": f"^({TOKENS_PATTERN})$",
        "default": "-1",
        "description": "Ids of text tokens that are never said, separated by commas; -1 is the symbols that nobody "
        "speaks, `none` is no token.",
    },
}
_SUBTITLES: Final[Schema] = {
    **{
        name: {"type": "integer", "minimum": 1, "maximum": SUBTITLE_LIMITS[name], "description": description}
        for name, description in {
            "max_line_width": "Of `srt` and `vtt`: characters after which a line is broken.",
            "max_line_count": "With `max_line_width`: lines after which a new cue begins.",
            "max_words_per_line": "Of `srt` and `vtt`: words after which a new cue begins.",
        }.items()
    },
    "highlight_words": {
        "type": "boolean",
        "default": False,
        "description": "In `srt` and `vtt`: underline each word while it is said.",
    },
}
# OpenAPI 3.2's word for what a stream consists of; who does not know it reads no schema here.
_EVENT: Final[Schema] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "string",
            "description": "With `stream`: transcript.text.delta objects, a transcript.text.done object, `[DONE]`; "
            "instead of the last two the envelope of an error.",
        }
    },
}
_TOGETHER: Final = [
    {
        "if": {"properties": {"stream": {"const": True}}, "required": ["stream"]},
        "then": {"properties": {"response_format": {"enum": [*STREAMED_FORMATS]}}},
    },
    *(
        {
            "if": {"properties": {name: {"minItems": 1}}, "required": [name]},
            "then": {"properties": {"response_format": {"enum": ["json"]}}},
        }
        for name in _INCLUDE
    ),
    *(
        {
            "if": {"properties": {name: {"contains": {"const": "word"}}}, "required": [name]},
            "then": {"properties": {"response_format": {"enum": [*WORD_FORMATS]}}, "required": ["response_format"]},
        }
        for name in _GRANULARITIES
    ),
    {
        "if": {
            "anyOf": [
                *({"required": [name]} for name in SUBTITLE_LIMITS),
                {"properties": {"highlight_words": {"const": True}}, "required": ["highlight_words"]},
            ]
        },
        "then": {"properties": {"response_format": {"enum": [*SUBTITLE_FORMATS]}}, "required": ["response_format"]},
    },
    {"if": {"required": ["patience"]}, "then": {"required": ["beam_size"]}},
    {
        "if": {"required": ["length_penalty"]},
        "then": {"anyOf": [{"required": ["beam_size"]}, {"required": ["best_of"]}]},
    },
    {"if": {"required": ["beam_size"]}, "then": {"properties": {"temperature": {"maximum": 0}}}},
    {"if": {"required": ["max_line_count"]}, "then": {"required": ["max_line_width"]}},
    {"not": {"required": ["max_line_width", "max_words_per_line"]}},
]
"""Which fields go together."""


def form(models: Sequence[str], *, decoding: bool = True) -> Schema:
    """The body of a request with audio."""
    model = {"type": "string", "enum": list(models), "description": "Which model; by default the first."}
    options = {**_DECODING, **_REPEATED, **_SEARCH, **_SUBTITLES} if decoding else {}
    schema: Schema = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": _FILE, "model": model, **options, **_STRATEGY},
        **({"allOf": _TOGETHER} if decoding else {}),
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def errors(*statuses: int) -> dict[int | str, Schema]:
    """The answers with those statuses, all in the envelope."""
    return {
        status: {
            "model": ErrorEnvelope,
            "description": _TELLING.get(status, HTTPStatus(status).phrase),
            "headers": {**_REQUEST_ID, **_HEADERS.get(status, {})},
        }
        for status in statuses
    }


def success(description: str, model: Any = None, *, events: bool = False, **others: str) -> dict[int | str, Schema]:
    """The answer 200: JSON of the model's shape, ``events``, and ``others``: what else may come, by content type."""
    content: Schema = {kind.replace("_", "/", 1).replace("_", "-"): _text(what) for kind, what in others.items()}
    if events:
        content["text/event-stream"] = {"itemSchema": _EVENT}
    answer: Schema = {"description": description, "headers": _REQUEST_ID, **({"content": content} if content else {})}
    return {200: answer if model is None else {"model": model, **answer}}


def _text(what: str) -> Schema:
    return {"schema": {"type": "string", "description": what}}
