"""The window message: what a gateway sends to the model server, and what comes back.

A message is a fixed head, the options as JSON, and the samples as 16-bit PCM (little-endian, mono, 16 kHz)::

    4 bytes  b"WSWN"
    u16      version (1)
    u16      reserved, 0
    u32      length of the options in bytes
    u32      number of samples, at most 480,000
    u32      CRC-32 of options and samples

A reply is JSON: ``{"version": 1, "window": {…}}``, or ``{"version": 1, "error": {…}}`` with the error envelope's fields
and the status, since TorchServe's gRPC reports every row as OK.

Options with their default value are not sent, nor are members of a reply that hold nothing unless they were asked for;
members of a reply's window that are not known are passed over. So either end may be older than the other as long as
nothing new is asked.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, TypeGuard

import numpy as np

from whisper_serve.speech import (
    LANGUAGES,
    WINDOW_SAMPLES,
    Audio,
    Dropped,
    Segment,
    TokenLogprob,
    WindowTranscript,
    Word,
)

MAGIC: Final = b"WSWN"
VERSION: Final = 1
HEAD: Final = struct.Struct("<4sHHIII")
TASKS: Final = ("transcribe", "translate")
MAX_PROMPT_CHARACTERS: Final = 10_000
"""The model reads only the last 223 tokens of a prompt, some 1,000 characters; more is a mistake of the caller."""
MAX_TEXTS: Final = 10
"""Most beams or samples of a window."""
MAX_PATIENCE: Final = 10
MAX_TEXT_TOKEN: Final = 50_256
"""The last token of the multilingual vocabulary that is text; the model server knows which of its own are."""
MAX_SUPPRESSED_TOKENS: Final = 1_000
MAX_DRAFT_TOKENS: Final = 448
"""The model's text context."""
SEARCH_THRESHOLD: Final = -0.3
"""Where a greedy text is unsure enough for a search to find a better one for what it costs: see docs/quality.md."""

_TEXTS: Final = ("prompt", "hotwords")
_COUNTS: Final = ("beam_size", "best_of")
_FLAGS: Final = ("timestamps", "word_timestamps", "detect_only", "logprobs", "spoken_to_end")
_OPTIONAL: Final = ("dropped", "language", "language_probabilities", "token_logprobs")
"""Members of a reply that are left out where they hold nothing."""


class WireError(ValueError):
    """A message or reply is not what this version of the protocol says; the text tells what is wrong."""


class InvalidOption(ValueError):
    """An option has a value that cannot be used. ``param`` is its name."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """How one window is to be decoded, in OpenAI's terms.

    Raises:
        InvalidOption: a value is of the wrong type or out of range.
    """

    task: str = "transcribe"
    language: str | None = None
    """ISO 639-1 code; ``None`` detects it, of each window that is sent so on its own."""
    prompt: str | None = None
    temperature: float = 0.0
    """0 to 1; 0 starts greedy, searches where that is unsure, and raises the temperature where a result fails its
    checks."""
    timestamps: bool = True
    word_timestamps: bool = False
    """Answer when each word was said."""
    detect_only: bool = False
    """Answer the language and the probabilities of all, and no text."""
    logprobs: bool = False
    """Answer the log-probability of each token of the text."""
    hotwords: str | None = None
    """Words that are likely to come; the model reads them before the prompt."""
    beam_size: int | None = None
    """Beams to search at temperature 0, up to 10; 1 is greedy, ``None`` too, with a search where that is unsure."""
    best_of: int | None = None
    """Samples at each temperature above 0, up to 10, of which the likeliest is taken; ``None`` is one."""
    patience: float | None = None
    """Above 0, up to 10: a search ends once ``beam_size`` times this many texts have ended; ``None`` is 1."""
    length_penalty: float | None = None
    """0 to 1, how much length counts where texts are compared (Wu et al. 2016); ``None`` compares means a token."""
    search_threshold: float | None = SEARCH_THRESHOLD
    """At most 0: a greedy text whose mean log-probability is below this is searched for like one that fails; ``None``,
    and of translations: only one that fails is."""
    spoken_to_end: bool = True
    """Whether the window was cut around speech, so that a text that stops earlier is not all of it."""
    draft_tokens: tuple[int, ...] | None = None
    """What the text is likely to begin with, timestamps included: the tokens of a shorter piece of the same audio."""
    suppress_tokens: tuple[int, ...] | None = None
    """Text tokens that are never said, of which -1 stands for the symbols that nobody speaks; ``None`` is these."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InvalidOption("task", f"task must be 'transcribe' or 'translate', not {self.task!r}")
        if self.language is not None and not (isinstance(self.language, str) and self.language in LANGUAGES):
            raise InvalidOption("language", f"language must be an ISO 639-1 code such as 'en', not {self.language!r}")
        for name in _TEXTS:
            _check_text(name, getattr(self, name))
        if not _is_number(self.temperature) or not 0 <= self.temperature <= 1:
            raise InvalidOption("temperature", f"temperature must be a number from 0 to 1, not {self.temperature!r}")
        for name in _FLAGS:
            if not isinstance(value := getattr(self, name), bool):
                raise InvalidOption(name, f"{name} must be true or false, not {value!r}")
        self._check_strategy()

    def _check_strategy(self) -> None:
        """What beams and samples need, and what they do not go with."""
        for name in _COUNTS:
            _check_count(name, getattr(self, name))
        patience, penalty, tokens = self.patience, self.length_penalty, self.suppress_tokens
        if patience is not None and not (_is_number(patience) and 0 < patience <= MAX_PATIENCE):
            raise InvalidOption(
                "patience", f"patience must be a number above 0, up to {MAX_PATIENCE}, not {patience!r}"
            )
        if penalty is not None and not (_is_number(penalty) and 0 <= penalty <= 1):
            raise InvalidOption("length_penalty", f"length_penalty must be a number from 0 to 1, not {penalty!r}")
        below = self.search_threshold
        if below is not None and not (_is_number(below) and below <= 0):
            raise InvalidOption("search_threshold", f"search_threshold must be a number up to 0, not {below!r}")
        _check_tokens("suppress_tokens", tokens)
        _check_draft("draft_tokens", self.draft_tokens)
        if self.beam_size is not None and self.temperature > 0:
            raise InvalidOption("beam_size", "beam_size goes with temperature 0 only: above it, use best_of")
        if patience is not None and self.beam_size is None:
            raise InvalidOption("patience", "patience needs beam_size: without beams there is nothing to wait for")
        if penalty is not None and self.beam_size is None and self.best_of is None:
            raise InvalidOption("length_penalty", "length_penalty needs beam_size or best_of: it compares their texts")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> WindowOptions:
        """Options by name; a name that is not known is an error, since both ends are ours."""
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            raise InvalidOption(unknown[0], f"unknown option {unknown[0]!r}")
        lists: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})

    def to_be_joined(self) -> WindowOptions:
        """The same for a window that overlaps another one: also asks for what `speech.joining` needs."""
        return replace(self, word_timestamps=True, logprobs=True)

    def as_json(self) -> dict[str, Any]:
        """Options by name, without those that have their default value."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """Why a window was not decoded: an HTTP status with the fields of OpenAI's error envelope."""

    status: int
    message: str
    type: str
    param: str | None = None
    code: str | None = None


def pack_window(audio: Audio, options: WindowOptions) -> bytes:
    """The message for one window of float32 samples (at most 480,000, mono, 16 kHz, −1…1).

    Raises:
        WireError: there are too many samples.
    """
    if audio.ndim != 1 or len(audio) > WINDOW_SAMPLES:
        raise WireError(f"a window holds at most {WINDOW_SAMPLES:,} mono samples, not an array of shape {audio.shape}")
    header = json.dumps(options.as_json(), ensure_ascii=False).encode()
    pcm = np.clip(np.rint(audio * 32768.0), -32768, 32767).astype("<i2")
    body = header + bytes(pcm.data)
    return HEAD.pack(MAGIC, VERSION, 0, len(header), len(audio), zlib.crc32(body)) + body


def unpack_window(message: bytes | bytearray | memoryview) -> tuple[Audio, WindowOptions]:
    """Samples and options of a message.

    Raises:
        WireError: it is not a whole, undamaged message of this version.
        InvalidOption: an option's value cannot be used.
    """
    view = memoryview(message)
    if len(view) < HEAD.size:
        raise WireError(f"a window message has a head of {HEAD.size} bytes, but only {len(view)} bytes came")
    magic, version, _, header_length, samples, checksum = HEAD.unpack_from(view)
    if magic != MAGIC:
        raise WireError(f"a window message starts with {MAGIC!r}, not with {bytes(magic)!r}")
    if version != VERSION:
        raise WireError(f"window messages of version {VERSION} are understood here, not version {version}")
    if samples > WINDOW_SAMPLES:
        raise WireError(f"a window holds at most {WINDOW_SAMPLES:,} samples, but the message announces {samples:,}")
    body = view[HEAD.size :]
    expected = header_length + 2 * samples
    if len(body) != expected:
        raise WireError(f"the message announces {expected:,} bytes behind its head, but {len(body):,} came")
    if zlib.crc32(body) != checksum:
        raise WireError("the message was damaged on its way: its checksum does not match")
    pcm = np.frombuffer(body[header_length:], dtype="<i2")
    return pcm.astype(np.float32) / np.float32(32768.0), _options(bytes(body[:header_length]))


def pack_reply(reply: WindowTranscript | ErrorReply) -> bytes:
    """A reply as JSON."""
    content = {"error" if isinstance(reply, ErrorReply) else "window": asdict(reply, dict_factory=_filled)}
    return json.dumps({"version": VERSION, **content}, ensure_ascii=False, allow_nan=False).encode()


def unpack_reply(data: bytes) -> WindowTranscript | ErrorReply:
    """What ``pack_reply`` packed.

    Raises:
        WireError: it is not a reply of this version.
    """
    try:
        reply = json.loads(data)
        if reply["version"] != VERSION:
            raise WireError(f"replies of version {VERSION} are understood here, not version {reply['version']}")
        if "error" in reply:
            return ErrorReply(**reply["error"])
        window = reply["window"]
        return WindowTranscript(
            language=window.get("language", ""),
            language_probability=window.get("language_probability"),
            segments=tuple(_segment(segment) for segment in window["segments"]),
            language_probabilities=_probabilities(window.get("language_probabilities")),
            dropped=tuple(Dropped(**each) for each in window.get("dropped", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"not a window reply: {data[:80]!r}") from error


def _options(header: bytes) -> WindowOptions:
    try:
        values = json.loads(header)
    except ValueError as error:
        raise WireError("the options of the window message are not JSON") from error
    if not isinstance(values, dict):
        raise WireError("the options of the window message are not a JSON object")
    return WindowOptions.from_json(values)


def _segment(values: dict[str, Any]) -> Segment:
    words = tuple(Word(**word) for word in values.pop("words"))
    logprobs = tuple(_token_logprob(token) for token in values.pop("token_logprobs", ()))
    return Segment(**{**values, "tokens": tuple(values["tokens"])}, words=words, token_logprobs=logprobs)


def _token_logprob(values: dict[str, Any]) -> TokenLogprob:
    return TokenLogprob(**{**values, "bytes": tuple(values["bytes"])})


def _probabilities(values: Any) -> Mapping[str, float] | None:
    return None if values is None else {str(code): float(probability) for code, probability in values.items()}


def _filled(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in members if value or name not in _OPTIONAL}


def _check_text(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise InvalidOption(name, f"{name} must be text")
    if len(value) > MAX_PROMPT_CHARACTERS:
        raise InvalidOption(name, f"{name} must be at most {MAX_PROMPT_CHARACTERS:,} characters long")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        # JSON's \ud83d alone: half of what UTF-16 writes as two, from a client that cuts there.
        raise InvalidOption(name, f"{name} must be text that UTF-8 can write: it holds half a character") from error


def _check_count(name: str, value: object) -> None:
    if value is not None and not (_is_integer(value) and 1 <= value <= MAX_TEXTS):
        raise InvalidOption(name, f"{name} must be a whole number from 1 to {MAX_TEXTS}, not {value!r}")


def _check_tokens(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, tuple) or len(value) > MAX_SUPPRESSED_TOKENS:
        raise InvalidOption(name, f"{name} must be a list of at most {MAX_SUPPRESSED_TOKENS:,} ids of tokens")
    for token in value:
        if not _is_integer(token) or not -1 <= token <= MAX_TEXT_TOKEN:
            known = f"ids of tokens from 0 to {MAX_TEXT_TOKEN}, or -1 for the symbols that nobody speaks"
            raise InvalidOption(name, f"{name} must be {known}, not {token!r}")


def _check_draft(name: str, value: object) -> None:
    """What the model does not know of it, it leaves out."""
    if value is None:
        return
    if not isinstance(value, tuple) or len(value) > MAX_DRAFT_TOKENS or not all(map(_is_integer, value)):
        raise InvalidOption(name, f"{name} must be a list of at most {MAX_DRAFT_TOKENS:,} ids of tokens")


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
