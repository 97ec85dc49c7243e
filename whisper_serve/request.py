"""OpenAI's form fields, read into one typed request for a whole file.

Unknown fields are ignored, as OpenAI does; a field with a value that cannot be used is an error that names it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from whisper_serve.speech import RESPONSE_FORMATS, RenderOptions, VadOptions, language_code
from whisper_serve.speech.vad import LIMITS_MS
from whisper_serve.wire import MAX_SUPPRESSED_TOKENS, MAX_TEXT_TOKEN, InvalidOption, WindowOptions

TRUE: Final = frozenset({"true", "1", "yes", "on"})
FALSE: Final = frozenset({"false", "0", "no", "off"})
STREAMED_FORMATS: Final = ("json", "text", "verbose_json")
"""Events have the same text in all of them; with `verbose_json` the last one has all of its members too."""
SUBTITLE_FORMATS: Final = ("srt", "vtt")
WORD_FORMATS: Final = ("verbose_json", *SUBTITLE_FORMATS)
"""Those that tell when words are said."""
SUBTITLE_LIMITS: Final = {"max_line_width": 200, "max_line_count": 10, "max_words_per_line": 100}
"""The most that may be asked for. With `highlight_words` a cue's text comes once for each of its words."""
LANGUAGE_PER_WINDOW: Final = "auto-per-window"
"""A value of `language` for recordings in several: each window's is found out on its own."""
_TOKEN: Final = r"(-1|\d{1,4}|[1-4]\d{4}|50[01]\d{2}|502[0-4]\d|5025[0-6])".replace(r"\d", "[0-9]")
TOKENS_PATTERN: Final = f"none|{_TOKEN}(,{_TOKEN}){{0,{MAX_SUPPRESSED_TOKENS - 1}}}"
"""What `suppress_tokens` may be, as a regular expression of all of it."""
_GRANULARITIES: Final = ("timestamp_granularities[]", "timestamp_granularities")
_LISTS: Final = {
    **dict.fromkeys(_GRANULARITIES, ("segment", "word")),
    "include[]": ("logprobs",),
    "include": ("logprobs",),
}
"""Fields that may be repeated, with the values that are known."""
_VAD_MILLISECONDS: Final = {"prefix_padding_ms": "padding_ms", "silence_duration_ms": "min_silence_ms"}
"""OpenAI's names for what `VadOptions` calls otherwise."""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """What a caller asks of one audio file."""

    options: WindowOptions = field(default_factory=WindowOptions)
    response_format: str = "json"
    render: RenderOptions = field(default_factory=RenderOptions)
    vad: VadOptions | None = field(default_factory=VadOptions)
    """How speech is found; ``None`` cuts the file without looking for speech."""
    stream: bool = False
    """Send events as the text comes."""
    condition_on_previous_text: bool = False
    """Transcribe one window after the other, each with the text before it as its prompt."""
    language_per_window: bool = False
    """Find out the language of each window on its own, rather than one for the file."""

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> FileRequest:
        """Read form fields, for those who do not stream.

        Raises:
            InvalidOption: a field's value cannot be used.
        """
        request = cls.from_form(tuple(fields.items()))
        if request.stream:
            raise InvalidOption("stream", "streaming is not available here: leave stream out or set it to false")
        return request

    @classmethod
    def from_form(cls, form: Sequence[tuple[str, str]]) -> FileRequest:
        """Read form fields, of which lists are sent as repeated ones; of others the last counts.

        Raises:
            InvalidOption: a field's value cannot be used.
        """
        for name, value in form:
            if name in _LISTS:
                _check_member(name, value)
        given = {name: value for name, value in form if value != ""}
        logprobs, granularities, subtitles = _logprobs(given), _granularities(form, given), _subtitles(given)
        request = cls(
            options=WindowOptions(
                task=given.get("task", "transcribe"),
                language=_language(given),
                prompt=given.get("prompt"),
                temperature=_number(given, "temperature", 0.0),
                word_timestamps="word" in granularities or bool(subtitles),
                logprobs=logprobs,
                hotwords=given.get("hotwords"),
                **_strategy_options(given),
            ),
            response_format=_response_format(given),
            render=RenderOptions(granularities, logprobs, **subtitles),
            vad=_vad(given),
            stream=_flag(given, "stream", False),
            condition_on_previous_text=_flag(given, "condition_on_previous_text", False),
            language_per_window=_asks_for_each_window(given),
        )
        if request.stream and request.response_format not in STREAMED_FORMATS:
            raise InvalidOption(
                "response_format", f"response_format {request.response_format!r} cannot be streamed: use 'json'"
            )
        return request


def _language(given: Mapping[str, str]) -> str | None:
    value = given.get("language")
    if value is None or _asks_for_each_window(given):
        return None
    try:
        return language_code(value)
    except ValueError as error:
        raise InvalidOption("language", f"{error}, or {LANGUAGE_PER_WINDOW!r}") from error


def _asks_for_each_window(given: Mapping[str, str]) -> bool:
    return given.get("language", "").strip().lower() == LANGUAGE_PER_WINDOW


def _response_format(given: Mapping[str, str]) -> str:
    value = given.get("response_format", "json")
    if value not in RESPONSE_FORMATS:
        known = ", ".join(RESPONSE_FORMATS)
        raise InvalidOption("response_format", f"response_format must be one of {known}, not {value!r}")
    return value


def _check_member(name: str, value: str) -> None:
    known = _LISTS[name]
    if value not in {"", *known}:
        raise InvalidOption(name, f"{name} must be {_any_of(known)}, not {value!r}")


def _need_format(given: Mapping[str, str], name: str, value: str, formats: Sequence[str]) -> None:
    if given.get("response_format", "json") not in formats:
        raise InvalidOption(name, f"{name}={value} needs the response_format {_any_of(formats)}")


def _any_of(values: Sequence[str]) -> str:
    return " or ".join(map(repr, values))


def _granularities(form: Sequence[tuple[str, str]], given: Mapping[str, str]) -> frozenset[str]:
    """What is to be given times: segments, unless only words are asked for."""
    asked = {value: name for name, value in form if name in _GRANULARITIES and value}
    if "word" in asked:
        _need_format(given, asked["word"], "word", WORD_FORMATS)
    return frozenset(asked) or RenderOptions().granularities


def _logprobs(given: Mapping[str, str]) -> bool:
    for name in ("include[]", "include"):
        if name in given:
            _need_format(given, name, given[name], ("json",))
            return True
    return False


def _strategy_options(given: Mapping[str, str]) -> dict[str, Any]:
    """What is asked of beams, samples and tokens, by the names of `WindowOptions`."""
    asked: dict[str, Any] = {name: _integer(given, name) for name in ("beam_size", "best_of") if name in given}
    asked |= {name: _number(given, name, 0.0) for name in ("patience", "length_penalty") if name in given}
    if "suppress_tokens" in given:
        asked["suppress_tokens"] = _tokens(given["suppress_tokens"])
    return asked


def _tokens(text: str) -> tuple[int, ...]:
    if not re.fullmatch(TOKENS_PATTERN, text):
        raise InvalidOption(
            "suppress_tokens",
            f"suppress_tokens must be 'none', or ids from 0 to {MAX_TEXT_TOKEN} separated by commas, with -1 for the "
            f"symbols that nobody speaks, not {text[:100]!r}",
        )
    return () if text == "none" else tuple(map(int, text.split(",")))


def _subtitles(given: Mapping[str, str]) -> dict[str, Any]:
    """What is asked of subtitles made of words, by the names of `RenderOptions`."""
    asked: dict[str, Any] = {name: _limit(given, name, most) for name, most in SUBTITLE_LIMITS.items() if name in given}
    if _flag(given, "highlight_words", False):
        asked["highlight_words"] = True
    for name in asked:
        _need_format(given, name, given[name], SUBTITLE_FORMATS)
    if "max_line_count" in asked and "max_line_width" not in asked:
        raise InvalidOption("max_line_count", "max_line_count needs max_line_width: without it lines have no end")
    if "max_words_per_line" in asked and "max_line_width" in asked:
        raise InvalidOption("max_words_per_line", "max_words_per_line goes without max_line_width: leave one out")
    return asked


def _limit(given: Mapping[str, str], name: str, most: int) -> int:
    value = _integer(given, name)
    if not 1 <= value <= most:
        raise InvalidOption(name, f"{name} must be from 1 to {most}, not {value}")
    return value


def _vad(given: Mapping[str, str]) -> VadOptions | None:
    wanted, strategy = _flag(given, "vad_filter", True), _strategy(given)
    numbers: dict[str, Any] = {}
    try:
        if "threshold" in strategy:
            numbers["threshold"] = _number(strategy, "threshold", 0.0)
        for name, option in _VAD_MILLISECONDS.items():
            if name in strategy:
                numbers[option] = _milliseconds(strategy, name, LIMITS_MS[option])
        options = VadOptions(**numbers)
    except ValueError as error:
        raise InvalidOption("chunking_strategy", f"chunking_strategy: {error}") from error
    return options if wanted else None


def _milliseconds(strategy: Mapping[str, str], name: str, most: int) -> int:
    value = _integer(strategy, name)
    if not 0 <= value <= most:
        raise InvalidOption(name, f"{name} must be from 0 to {most} milliseconds, not {value}")
    return value


def _strategy(given: Mapping[str, str]) -> dict[str, str]:
    """The members of ``chunking_strategy``: sent as ``auto``, as a JSON object, or one field a member."""
    prefix = "chunking_strategy["
    members = {name[len(prefix) : -1]: value for name, value in given.items() if name.startswith(prefix)}
    whole = given.get("chunking_strategy", "auto")
    if whole != "auto":
        members |= _json_object(whole)
    if members.get("type", "server_vad") != "server_vad":
        raise InvalidOption(
            "chunking_strategy", f"chunking_strategy type must be 'server_vad', not {members['type']!r}"
        )
    return members


def _json_object(text: str) -> dict[str, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidOption("chunking_strategy", f"chunking_strategy must be 'auto' or a JSON object, not {text!r}")
    return {name: str(member) for name, member in value.items()}


def _flag(given: Mapping[str, str], name: str, default: bool) -> bool:
    value = given.get(name, str(default)).lower()
    if value not in TRUE | FALSE:
        raise InvalidOption(name, f"{name} must be true or false, not {value!r}")
    return value in TRUE


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(given.get(name, default))
    except ValueError as error:
        raise InvalidOption(name, f"{name} must be a number, not {given[name]!r}") from error


def _integer(given: Mapping[str, str], name: str) -> int:
    try:
        return int(given[name])
    except ValueError as error:
        raise InvalidOption(name, f"{name} must be a whole number, not {given[name]!r}") from error
