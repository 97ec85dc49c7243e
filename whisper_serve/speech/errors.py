"""What can go wrong between a file and its windows, as one tree.

SpeechError
├── AudioDecodeError    nothing can be decoded; the message says why in a sentence
├── AudioTooLong        the audio goes on past the limit that was set
├── AudioTooShort       the audio ends before the least that was asked for
└── VadUnavailable      the speech detector's model or runtime is not installed
"""

from __future__ import annotations


class SpeechError(Exception):
    """Base of all errors of `whisper_serve.speech`."""


class AudioDecodeError(SpeechError):
    """No sample can be decoded from the input; the message says what was found instead."""


class AudioTooLong(SpeechError):
    """Decoding passed the limit; `limit_seconds` is that limit."""

    def __init__(self, limit_seconds: float) -> None:
        super().__init__(f"the audio is longer than the limit of {limit_seconds:g} seconds")
        self.limit_seconds = limit_seconds


class AudioTooShort(SpeechError):
    """There is less audio than asked for; `least_seconds` is that limit."""

    def __init__(self, seconds: float, least_seconds: float) -> None:
        super().__init__(f"the audio is {seconds:.3g} seconds long: at least {least_seconds:g} seconds are needed")
        self.least_seconds = least_seconds


class VadUnavailable(SpeechError):
    """The speech detector cannot be loaded; the message says what is missing and how to get it."""
