"""What the flow of windows tells whoever measures it."""

from __future__ import annotations

from typing import Protocol

from whisper_serve.speech import Transcript


class ModelObserver(Protocol):
    """Of one model. Plain methods, called in the event loop; they must not block. All seconds of audio unless said."""

    def window_sent(self, seconds: float) -> None:
        """A window goes to an address: once for every attempt."""

    def window_retried(self, reason: str) -> None:
        """A window failed there and will be sent again; `reason` is a value of `faults.Fault`."""

    def window_failed(self, reason: str) -> None:
        """A window failed for good."""

    def window_waited(self, took: float) -> None:
        """A window's turn came after so many seconds of time."""

    def window_answered(self, took: float) -> None:
        """A window was answered so many seconds of time after it was first sent."""

    def addresses(self, known: int, ready: int) -> None:
        """So many addresses are there, and so many of them answer."""

    def address_lost(self) -> None:
        """One that had answered does not any more."""

    def uploaded(self, size_bytes: int) -> None:
        """A file of this size was let in."""

    def queue(self, seconds_waiting: float, seconds_in_flight: float) -> None:
        """What all requests together still have to do."""

    def live_audio(self, seconds: float) -> None:
        """So much audio of a live stream was taken."""

    def live_interim(self, took: float) -> None:
        """An interim result came so many seconds of time after it was asked for."""

    def live_interim_skipped(self) -> None:
        """One was left out because the model had other things to do."""

    def live_final(self, took: float, transcript: Transcript) -> None:
        """A final text came so many seconds of time after its utterance had ended."""


class Observer(Protocol):
    """The same of what all models share."""

    def of(self, model: str) -> ModelObserver:
        """That of a model, by its own name."""

    def decoded(self, seconds: float, decoding: float, searching: float) -> None:
        """So much audio was decoded in `decoding`, and searched for speech in `searching`, seconds of time."""

    def live_streams(self, count: int) -> None:
        """So many live streams are open."""


class Silent:
    """An observer that keeps nothing, of any model."""

    def of(self, model: str) -> Silent:
        return self

    def window_sent(self, seconds: float) -> None:
        pass

    def window_retried(self, reason: str) -> None:
        pass

    def window_failed(self, reason: str) -> None:
        pass

    def window_waited(self, took: float) -> None:
        pass

    def window_answered(self, took: float) -> None:
        pass

    def addresses(self, known: int, ready: int) -> None:
        pass

    def address_lost(self) -> None:
        pass

    def uploaded(self, size_bytes: int) -> None:
        pass

    def decoded(self, seconds: float, decoding: float, searching: float) -> None:
        pass

    def queue(self, seconds_waiting: float, seconds_in_flight: float) -> None:
        pass

    def live_streams(self, count: int) -> None:
        pass

    def live_audio(self, seconds: float) -> None:
        pass

    def live_interim(self, took: float) -> None:
        pass

    def live_interim_skipped(self) -> None:
        pass

    def live_final(self, took: float, transcript: Transcript) -> None:
        pass
