"""Transcripts as messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from whisper_serve.gateway.work import Part
from whisper_serve.request import FileRequest
from whisper_serve.speech import Dropped, Segment, Transcript, WindowTranscript, language_name, render
from whisper_serve.speech.formats import usage
from whisper_serve.speech_v1 import speech_pb2


class Segments:
    """Segments of the parts of a file, with the times and numbers that they have in the whole."""

    def __init__(self, *, with_language: bool) -> None:
        self._count, self._with_language = 0, with_language

    def of(self, part: Part) -> Iterator[speech_pb2.Segment]:
        """Those of the next part."""
        for one in part.window.segments:
            language = part.window.language if self._with_language else ""
            yield segment(replace(one.shifted(part.start, self._count), language=language))
            self._count += 1


def transcription(transcript: Transcript, asked: FileRequest, *, rendered: bool) -> speech_pb2.Transcription:
    """The whole; `rendered`: with the text in the format that was asked for."""
    return speech_pb2.Transcription(
        task=f"TASK_{transcript.task.upper()}",
        language=language_name(transcript.language) if transcript.language else "",
        language_code=transcript.language,
        duration=transcript.duration,
        text=transcript.text,
        segments=map(segment, transcript.segments),
        dropped=map(_dropped, transcript.dropped),
        warnings=transcript.warnings,
        usage=speech_pb2.Usage(seconds=usage(transcript.duration)["seconds"]),
        rendered=render(transcript, asked.response_format, asked.render) if rendered else "",
        language_probability=transcript.language_probability,
    )


def segment(one: Segment) -> speech_pb2.Segment:
    """One segment."""
    words = (speech_pb2.Word(word=w.word, start=w.start, end=w.end, probability=w.probability) for w in one.words)
    tokens = (
        speech_pb2.TokenLogprob(token=t.token, token_bytes=bytes(t.bytes), logprob=t.logprob)
        for t in one.token_logprobs
    )
    return speech_pb2.Segment(
        id=one.id,
        seek=one.seek,
        start=one.start,
        end=one.end,
        text=one.text,
        tokens=one.tokens,
        temperature=one.temperature,
        avg_logprob=one.avg_logprob,
        compression_ratio=one.compression_ratio,
        no_speech_prob=one.no_speech_prob,
        words=words,
        logprobs=tokens,
        language_code=one.language,
    )


def detection(window: WindowTranscript) -> speech_pb2.DetectLanguageResponse:
    """The language of a window and the probabilities of all, the likeliest first."""
    ordered = sorted((window.language_probabilities or {}).items(), key=lambda item: -item[1])
    return speech_pb2.DetectLanguageResponse(
        language=language_name(window.language),
        language_code=window.language,
        probabilities=[speech_pb2.LanguageProbability(language_code=code, probability=p) for code, p in ordered],
    )


def _dropped(one: Dropped) -> speech_pb2.DroppedText:
    reason = f"DROP_REASON_{one.reason.upper()}"
    return speech_pb2.DroppedText(start=one.start, end=one.end, reason=reason, text=one.text)
