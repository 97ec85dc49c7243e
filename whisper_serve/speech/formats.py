"""Response formats: a transcript as text for people, players and programs.

`srt`, `vtt` and `tsv` are written as openai-whisper's writers write them; `json`, `text` and `verbose_json`
as OpenAI's audio API answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from whisper_serve.speech.languages import language_name
from whisper_serve.speech.render_options import RenderOptions
from whisper_serve.speech.subtitles import srt, vtt
from whisper_serve.speech.transcript import Segment, TokenLogprob, Transcript, Word


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


def verbose_body(transcript: Transcript, options: RenderOptions) -> dict[str, Any]:
    """The members of `verbose_json`, in their order."""
    body: dict[str, Any] = {
        "task": transcript.task,
        **_language(transcript),
        **_language_probability(transcript),
        "duration": transcript.duration,
        "text": transcript.text,
    }
    if options.granularities != {"word"}:
        body["segments"] = [_segment(segment) for segment in transcript.segments]
    if "word" in options.granularities:
        body["words"] = [word_body(word) for word in transcript.words]
    if transcript.dropped:
        body["dropped"] = [asdict(dropped) for dropped in transcript.dropped]
    return {**body, **_warnings(transcript), "usage": usage(transcript.duration)}


def _verbose_json(transcript: Transcript, options: RenderOptions) -> str:
    return _dump(verbose_body(transcript, options))


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
        **({"language": language_name(segment.language)} if segment.language else {}),
    }


def word_body(word: Word) -> dict[str, Any]:
    """A word as `verbose_json` has it."""
    return {"word": word.word.strip(), "start": word.start, "end": word.end, "probability": _rounded(word.probability)}


def _language(transcript: Transcript) -> dict[str, str]:
    """What the text is written in, as OpenAI has it, and of a translation also what is spoken."""
    spoken = language_name(transcript.language)
    if transcript.task == "translate":
        return {"language": "english", "source_language": spoken}
    return {"language": spoken}


def _language_probability(transcript: Transcript) -> dict[str, Any]:
    probability = transcript.language_probability
    return {} if probability is None else {"language_probability": _rounded(probability)}


def _rounded(probability: float) -> float:
    return round(probability, 4)


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


_PLAIN = "text/plain; charset=utf-8"

#: OpenAI's names, and openai-whisper's `tsv`.
RESPONSE_FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "json": Format(_json, "application/json", "json"),
        "text": Format(_text, _PLAIN, "txt"),
        "srt": Format(srt, _PLAIN, "srt"),
        "verbose_json": Format(_verbose_json, "application/json", "json"),
        "vtt": Format(vtt, _PLAIN, "vtt"),
        "tsv": Format(_tsv, "text/tab-separated-values; charset=utf-8", "tsv"),
    }
)
