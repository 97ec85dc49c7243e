"""What Prometheus is told of each model: series with the label ``model``, its own name."""

from __future__ import annotations

from typing import Final

from whisper_serve.gateway.families import LATENCIES, REAL_TIME_FACTORS, Families
from whisper_serve.gateway.faults import Fault
from whisper_serve.speech import Transcript

OTHER_FAILURES: Final = ("unavailable", "deadline")
"""Why a window is given up, beside what its attempts failed by."""
DROPPED: Final = ("silence", "repetition", "phantom")
"""Why a text is left out: see `speech.Dropped`."""


class ModelFamilies:
    """The series of all models."""

    def __init__(self, made: Families) -> None:
        self._windows(made)
        self._servers(made)
        self._texts(made)
        self._live(made)

    def _windows(self, made: Families) -> None:
        self.sent = made.counter("windows_sent", "Windows sent to the model server, each time counted.", "model")
        self.sent_seconds = made.counter("window_audio_seconds_sent", "Audio of windows sent.", "model")
        self.retried = made.counter("windows_retried", "Windows sent again.", "model", "reason")
        self.failed = made.counter("windows_failed", "Windows given up.", "model", "reason")
        self.waited = made.histogram("window_wait_seconds", "A window's wait for its turn.", LATENCIES, "model")
        self.answered = made.histogram(
            "window_seconds", "From a window's first sending to its answer.", LATENCIES, "model"
        )
        self.waiting = made.gauge("queued_audio_seconds", "Audio that waits to be sent.", "model")
        self.in_flight = made.gauge("in_flight_audio_seconds", "Audio at the model server.", "model")

    def _servers(self, made: Families) -> None:
        self.addresses = made.gauge("addresses", "Addresses of the model's TorchServes.", "model")
        self.ready = made.gauge("addresses_ready", "Those of them that answer.", "model")
        self.lost = made.counter("addresses_lost", "Times that one which had answered did not any more.", "model")

    def _texts(self, made: Families) -> None:
        self.factor = made.histogram("real_time_factor", "Time for each second of audio.", REAL_TIME_FACTORS, "model")
        self.first = made.histogram(
            "first_token_seconds", "Until the first text of a stream was sent.", LATENCIES, "model"
        )
        self.uploaded = made.counter("upload_bytes", "Size of the files that were let in.", "model")
        self.audio = made.counter("audio_seconds", "Audio of requests answered with success.", "model")
        self.dropped = made.counter("dropped_segments", "Texts left out because nobody said them.", "model", "reason")

    def _live(self, made: Families) -> None:
        self.live_audio = made.counter("live_audio_seconds", "Audio of live streams.", "model")
        self.interim = made.histogram("live_interim_seconds", "Until an interim result came.", LATENCIES, "model")
        self.skipped = made.counter("live_interims_skipped", "Interim results left out because of load.", "model")
        self.final = made.histogram(
            "live_final_seconds", "From an utterance's end to its final text.", LATENCIES, "model"
        )


class ModelMetrics:
    """Those of one model. Serves what works for the model as its observer."""

    def __init__(self, families: ModelFamilies, model: str) -> None:
        self._families, self._model = families, model
        self._sent, self._sent_seconds = families.sent.labels(model), families.sent_seconds.labels(model)
        self._waiting, self._in_flight = families.waiting.labels(model), families.in_flight.labels(model)
        self._factor, self._first = families.factor.labels(model), families.first.labels(model)
        self._audio, self._live_audio = families.audio.labels(model), families.live_audio.labels(model)
        self._interim, self._skipped = families.interim.labels(model), families.skipped.labels(model)
        self._final, self._uploaded = families.final.labels(model), families.uploaded.labels(model)
        self._waited, self._answered = families.waited.labels(model), families.answered.labels(model)
        self._addresses, self._ready = families.addresses.labels(model), families.ready.labels(model)
        self._lost = families.lost.labels(model)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Have the series of all reasons there: Prometheus sees no increase in one that begins with 1."""
        faults = [fault.value for fault in Fault]
        for family, reasons in (
            (self._families.retried, faults),
            (self._families.failed, [*faults, *OTHER_FAILURES]),
            (self._families.dropped, DROPPED),
        ):
            for reason in reasons:
                family.labels(self._model, reason)

    def window_sent(self, seconds: float) -> None:
        """A window of so much audio goes to the model server."""
        self._sent.inc()
        self._sent_seconds.inc(seconds)

    def window_retried(self, reason: str) -> None:
        """A window goes there again."""
        self._families.retried.labels(self._model, reason).inc()

    def window_failed(self, reason: str) -> None:
        """A window is given up."""
        self._families.failed.labels(self._model, reason).inc()

    def window_waited(self, took: float) -> None:
        """A window's turn came after so many seconds of time."""
        self._waited.observe(took)

    def window_answered(self, took: float) -> None:
        """A window was answered so many seconds of time after it was first sent."""
        self._answered.observe(took)

    def addresses(self, known: int, ready: int) -> None:
        """So many TorchServes are there, and so many of them answer."""
        self._addresses.set(known)
        self._ready.set(ready)

    def address_lost(self) -> None:
        """One that had answered does not any more."""
        self._lost.inc()

    def uploaded(self, size_bytes: int) -> None:
        """A file of this size was let in."""
        self._uploaded.inc(size_bytes)

    def queue(self, seconds_waiting: float, seconds_in_flight: float) -> None:
        """So much audio waits and is in work now."""
        self._waiting.set(seconds_waiting)
        self._in_flight.set(seconds_in_flight)

    def first_token(self, took: float) -> None:
        """The first text of a stream was sent."""
        self._first.observe(took)

    def transcribed(self, transcript: Transcript, took: float) -> None:
        """A request was answered with success, by this transcript."""
        self._audio.inc(transcript.duration)
        if transcript.duration > 0:
            self._factor.observe(took / transcript.duration)
        self._count_dropped(transcript)

    def live_audio(self, seconds: float) -> None:
        """So much audio of a live stream was taken."""
        self._live_audio.inc(seconds)

    def live_interim(self, took: float) -> None:
        """An interim result came so many seconds of time after it was asked for."""
        self._interim.observe(took)

    def live_interim_skipped(self) -> None:
        """One was left out because the model had other things to do."""
        self._skipped.inc()

    def live_final(self, took: float, transcript: Transcript) -> None:
        """A final text came so many seconds of time after its utterance had ended."""
        self._final.observe(took)
        self._count_dropped(transcript)

    def _count_dropped(self, transcript: Transcript) -> None:
        for dropped in transcript.dropped:
            self._families.dropped.labels(self._model, dropped.reason).inc()
