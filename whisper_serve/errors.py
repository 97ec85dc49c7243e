"""What callers are told when something is wrong: exceptions to statuses, in one table.

============================================  ======  =======================  ====================
exception                                     status  type                     code
============================================  ======  =======================  ====================
``wire.InvalidOption``                        400     invalid_request_error    invalid_value
``wire.WireError``                            400     invalid_request_error    invalid_message
``speech.AudioDecodeError``                   400     invalid_request_error    audio_decode_error
``speech.AudioTooShort``                      400     invalid_request_error    audio_too_short
``speech.AudioTooLong``                       413     invalid_request_error    audio_too_long
``ReportedError``                             its own: see ``gateway.failures``
anything else                                 500     server_error             internal_error
============================================  ======  =======================  ====================
"""

from __future__ import annotations

import json
from typing import Any, Final

from whisper_serve.speech import AudioDecodeError, AudioTooLong, AudioTooShort
from whisper_serve.wire import ErrorReply, InvalidOption, WireError


class ReportedError(Exception):
    """An error that says itself what callers are told of it; ``str()`` of it is the message."""

    status: int
    type: str
    code: str
    param: str | None = None


_STATUSES: Final[dict[type[Exception], tuple[int, str]]] = {
    InvalidOption: (400, "invalid_value"),
    WireError: (400, "invalid_message"),
    AudioDecodeError: (400, "audio_decode_error"),
    AudioTooShort: (400, "audio_too_short"),
    AudioTooLong: (413, "audio_too_long"),
}
_FILE_ERRORS: Final = (AudioDecodeError, AudioTooShort, AudioTooLong)


def describe(error: object) -> ErrorReply:
    """What a caller is told of an exception; the text of an unforeseen one stays in the log."""
    if isinstance(error, ReportedError):
        return ErrorReply(error.status, str(error), error.type, error.param, error.code)
    for kind, (status, code) in _STATUSES.items():
        if isinstance(error, kind):
            param = getattr(error, "param", "file" if isinstance(error, _FILE_ERRORS) else None)
            return ErrorReply(status, str(error), "invalid_request_error", param, code)
    return ErrorReply(500, "the server failed to process this audio", "server_error", None, "internal_error")


def envelope(reply: ErrorReply) -> str:
    """OpenAI's error envelope as JSON."""
    body: dict[str, Any] = {"message": reply.message, "type": reply.type, "param": reply.param, "code": reply.code}
    return json.dumps({"error": body}, ensure_ascii=False)
