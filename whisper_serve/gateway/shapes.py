"""The shapes of answers, for the OpenAPI document: what is sent is made by `speech.formats`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Error(BaseModel):
    """Why a request failed."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorEnvelope(BaseModel):
    """What every answer that is not a success holds."""

    error: Error


class Usage(BaseModel):
    """Started seconds of audio."""

    type: Literal["duration"]
    seconds: int = Field(ge=0)


class Logprob(BaseModel):
    """A token of the text, its bytes in UTF-8, and its log-probability."""

    token: str
    bytes: list[int]
    logprob: float


class Transcription(BaseModel):
    """The answer in the format `json`."""

    text: str
    logprobs: list[Logprob] = []
    warnings: list[str] = []
    usage: Usage


class TranscriptionSegment(BaseModel):
    """A stretch of speech; times in seconds of the file. With `language=auto-per-window` it has its language."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    language: str | None = None


class TranscriptionWord(BaseModel):
    """A word, and how sure the model is of it; times in seconds of the file."""

    word: str
    start: float
    end: float
    probability: float = Field(ge=0, le=1)


class DroppedText(BaseModel):
    """Text that the model made up, and why it is not in the transcript; times in seconds of the file."""

    start: float
    end: float
    reason: Literal["silence", "repetition", "phantom"]
    text: str


class VerboseTranscription(BaseModel):
    """The answer in the format `verbose_json`; it tells how likely what is spoken is where that was found out.

    The language is that of the text: English in a translation, which tells what is spoken as its source.
    """

    task: Literal["transcribe", "translate"]
    language: str
    source_language: str | None = None
    language_probability: float | None = Field(default=None, ge=0, le=1)
    duration: float
    text: str
    segments: list[TranscriptionSegment] = []
    words: list[TranscriptionWord] = []
    dropped: list[DroppedText] = []
    warnings: list[str] = []
    usage: Usage


class Language(BaseModel):
    """Which language is spoken, by its English name and its code, and how likely each is."""

    language: str
    language_code: str
    probabilities: dict[str, float]


class Model(BaseModel):
    """A name that requests may call a model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"]
    data: list[Model]


class Health(BaseModel):
    """The gateway lives."""

    status: Literal["alive"]


class Readiness(BaseModel):
    """The gateway is ready, for some of its models, which are called by their own names."""

    status: Literal["ready"]
    models: dict[str, Literal["ready", "not ready"]]
