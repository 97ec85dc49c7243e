"""Response formats: a transcript as text for people, players and programs.

`srt`, `vtt` and `tsv` are written as openai-whisper's writers write them; `json`, `text` and `verbose_json`
as OpenAI's audio API answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from whisper_serve.speech.languages import language_name
from whisper_serve.speech.transcript import Segment, TokenLogprob, Transcript, Word

GRANULARITIES = frozenset({"segment", "word"})
#: Columns after which openai-whisper breaks a line of a subtitle made of words.
MAX_LINE_WIDTH = 1000


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What a format may be asked for.

    `granularities` are the lists that `verbose_json` contains; `logprobs` adds those of the tokens to `json`.
    """

    granularities: frozenset[str] = frozenset({"segment"})
    logprobs: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(self.granularities - GRANULARITIES)
        if unknown:
            raise ValueError(f"timestamp granularities are 'segment' and 'word', not {unknown[0]!r}")


@dataclass(frozen=True, slots=True)
class Format:
    """A renderer with the content type of what it returns and the usual ending of such a file."""

    render: Callable[[Transcript, RenderOptions], str]
    content_type: str
    extension: str


def render(transcript: Transcript, response_format: str, options: RenderOptions | None = None) -> str:
    """`transcript` in the format of that name.

    Raises ValueError, naming the formats there are, for an unknown name.
    """
    if response_format not in RESPONSE_FORMATS:
        known = ", ".join(RESPONSE_FORMATS)
        raise ValueError(f"{response_format!r} is not a response format: use one of {known}")
    return RESPONSE_FORMATS[response_format].render(transcript, options or RenderOptions())


def timestamp(seconds: float, *, decimal_marker: str, always_hours: bool) -> str:
    """`[hh:]mm:ss,mmm`, counted in whole milliseconds so that no two formats round differently."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    prefix = f"{hours:02d}:" if always_hours or hours else ""
    return f"{prefix}{minutes:02d}:{milliseconds // 1000:02d}{decimal_marker}{milliseconds % 1000:03d}"


def usage(duration: float) -> dict[str, Any]:
    """What OpenAI bills by: started seconds of audio."""
    return {"type": "duration", "seconds": math.ceil(duration)}


def logprobs_body(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """OpenAI's `logprobs`: each token with its bytes and its log-probability."""
    return [{"token": each.token, "bytes": list(each.bytes), "logprob": each.logprob} for each in tokens]


# JSON ------------------------------------------------------------------------------------------------------


def _json(transcript: Transcript, options: RenderOptions) -> str:
    body: dict[str, Any] = {"text": transcript.text}
    if options.logprobs:
        body["logprobs"] = logprobs_body(transcript.token_logprobs)
    return _dump({**body, **_warnings(transcript), "usage": usage(transcript.duration)})


def _verbose_json(transcript: Transcript, options: RenderOptions) -> str:
    body: dict[str, Any] = {
        "task": transcript.task,
        "language": language_name(transcript.language),
        "duration": transcript.duration,
        "text": transcript.text,
    }
    if options.granularities != {"word"}:
        body["segments"] = [_segment(segment) for segment in transcript.segments]
    if "word" in options.granularities:
        body["words"] = [_word(word) for word in transcript.words]
    if transcript.dropped:
        body["dropped"] = [asdict(dropped) for dropped in transcript.dropped]
    return _dump({**body, **_warnings(transcript), "usage": usage(transcript.duration)})


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "id": segment.id,
        "seek": segment.seek,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.word.strip(), "start": word.start, "end": word.end}


def _warnings(transcript: Transcript) -> dict[str, Any]:
    return {"warnings": list(transcript.warnings)} if transcript.warnings else {}


def _dump(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, allow_nan=False)


# Text ------------------------------------------------------------------------------------------------------


def _text(transcript: Transcript, options: RenderOptions) -> str:
    return transcript.text + "\n"


def _tsv(transcript: Transcript, options: RenderOptions) -> str:
    lines = ["start\tend\ttext"]
    for segment in transcript.segments:
        text = segment.text.strip().replace("\t", " ")
        lines.append(f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{text}")
    return "\n".join(lines) + "\n"


# Subtitles -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cue:
    start: float
    end: float
    text: str

    def timing(self, *, decimal_marker: str, always_hours: bool) -> str:
        start, end = (
            timestamp(seconds, decimal_marker=decimal_marker, always_hours=always_hours)
            for seconds in (self.start, self.end)
        )
        return f"{start} --> {end}"


def _srt(transcript: Transcript, options: RenderOptions) -> str:
    cues = enumerate(_cues(transcript), start=1)
    return "".join(
        f"{number}\n{cue.timing(decimal_marker=',', always_hours=True)}\n{cue.text}\n\n" for number, cue in cues
    )


def _vtt(transcript: Transcript, options: RenderOptions) -> str:
    cues = (f"{cue.timing(decimal_marker='.', always_hours=False)}\n{cue.text}\n\n" for cue in _cues(transcript))
    return "WEBVTT\n\n" + "".join(cues)


def _cues(transcript: Transcript) -> Iterator[_Cue]:
    """One cue a segment, timed by its words where there are any.

    In a transcript with words a segment without them is empty, and skipped. An arrow in the text would read
    as another timing line, so it is shortened (openai-whisper does so only for transcripts without words).
    """
    with_words = bool(transcript.words)
    for segment in transcript.segments:
        if not with_words:
            yield _Cue(segment.start, segment.end, _without_arrow(segment.text.strip()))
        elif segment.words:
            text = _without_arrow(_wrapped(segment.words))
            yield _Cue(segment.words[0].start, segment.words[-1].end, text)


def _wrapped(words: tuple[Word, ...]) -> str:
    """The words in lines of at most `MAX_LINE_WIDTH` columns, each line without outer spaces at its start."""
    text, width = "", 0
    for word in words:
        if width and width + len(word.word) <= MAX_LINE_WIDTH:
            text, width = text + word.word, width + len(word.word)
        else:
            first = word.word.strip()
            text, width = text + ("\n" if width else "") + first, len(first)
    return text


def _without_arrow(text: str) -> str:
    return text.replace("-->", "->")


_PLAIN = "text/plain; charset=utf-8"

#: OpenAI's names, and openai-whisper's `tsv`.
RESPONSE_FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "json": Format(_json, "application/json", "json"),
        "text": Format(_text, _PLAIN, "txt"),
        "srt": Format(_srt, _PLAIN, "srt"),
        "verbose_json": Format(_verbose_json, "application/json", "json"),
        "vtt": Format(_vtt, _PLAIN, "vtt"),
        "tsv": Format(_tsv, "text/tab-separated-values; charset=utf-8", "tsv"),
    }
)
