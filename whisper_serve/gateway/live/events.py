"""What a live session tells; all times are seconds of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from whisper_serve.speech import Segment, Transcript
from whisper_serve.speech.formats import word_body


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody began to speak: a new utterance."""

    utterance: int
    start: float

    def as_json(self) -> dict[str, Any]:
        return {"type": "speech_started", "utterance": self.utterance, "start": self.start}


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The utterance is over, and its text follows."""

    utterance: int
    end: float

    def as_json(self) -> dict[str, Any]:
        return {"type": "speech_ended", "utterance": self.utterance, "end": self.end}


@dataclass(frozen=True, slots=True)
class Interim:
    """The text of the utterance that is going on, as it is understood now; `text` begins with `stable`."""

    utterance: int
    text: str
    stable: str
    language: str
    start: float
    end: float

    def as_json(self) -> dict[str, Any]:
        return {
            "type": "interim",
            "utterance": self.utterance,
            "text": self.text,
            "stable": self.stable,
            "language": self.language,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True, slots=True)
class Final:
    """An utterance's text, which does not change any more; empty where nothing was understood."""

    utterance: int
    start: float
    end: float
    transcript: Transcript
    words: bool
    """Whether words were asked for."""

    @property
    def text(self) -> str:
        return self.transcript.text

    @property
    def stable(self) -> str:
        """All of it."""
        return self.transcript.text

    @property
    def language(self) -> str:
        return self.transcript.language

    def as_json(self) -> dict[str, Any]:
        said = self.transcript
        body: dict[str, Any] = {
            "type": "final",
            "utterance": self.utterance,
            "text": said.text,
            "start": self.start,
            "end": self.end,
            "language": said.language,
            "segments": [_segment(segment) for segment in said.segments],
        }
        if self.words:
            body["words"] = [word_body(word) for word in said.words]
        if said.dropped:
            body["dropped"] = [
                {"start": each.start, "end": each.end, "reason": each.reason, "text": each.text}
                for each in said.dropped
            ]
        return body


@dataclass(frozen=True, slots=True)
class Done:
    """The stream has ended, and all of its text was told."""

    duration: float
    utterances: int

    def as_json(self) -> dict[str, Any]:
        return {"type": "done", "duration": self.duration, "utterances": self.utterances}


Event: TypeAlias = SpeechStarted | SpeechEnded | Interim | Final | Done


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "id": segment.id,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "avg_logprob": segment.avg_logprob,
        "no_speech_prob": segment.no_speech_prob,
    }
