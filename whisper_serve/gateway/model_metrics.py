"""What Prometheus is told of each model: series with the label ``model``, its own name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from whisper_serve.gateway.families import LATENCIES, REAL_TIME_FACTORS, counter, gauge, histogram
from whisper_serve.speech import Transcript


class ModelFamilies:
    """The series of all models."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._windows(registry)
        self._texts(registry)
        self._live(registry)

    def _windows(self, registry: CollectorRegistry) -> None:
        self.sent = counter(registry, "windows_sent", "Windows sent to the model server, each time counted.", "model")
        self.sent_seconds = counter(registry, "window_audio_seconds_sent", "Audio of windows sent.", "model")
        self.retried = counter(registry, "windows_retried", "Windows sent again.", "model", "reason")
        self.failed = counter(registry, "windows_failed", "Windows given up.", "model", "reason")
        self.waiting = gauge(registry, "queued_audio_seconds", "Audio that waits to be sent.", "model")
        self.in_flight = gauge(registry, "in_flight_audio_seconds", "Audio at the model server.", "model")

    def _texts(self, registry: CollectorRegistry) -> None:
        self.factor = histogram(
            registry, "real_time_factor", "Time for each second of audio.", REAL_TIME_FACTORS, "model"
        )
        self.first = histogram(
            registry, "first_token_seconds", "Until the first text of a stream was sent.", LATENCIES, "model"
        )
        self.audio = counter(registry, "audio_seconds", "Audio of requests answered with success.", "model")
        self.dropped = counter(
            registry, "dropped_segments", "Texts left out because nobody said them.", "model", "reason"
        )

    def _live(self, registry: CollectorRegistry) -> None:
        self.live_audio = counter(registry, "live_audio_seconds", "Audio of live streams.", "model")
        self.interim = histogram(registry, "live_interim_seconds", "Until an interim result came.", LATENCIES, "model")
        self.skipped = counter(registry, "live_interims_skipped", "Interim results left out because of load.", "model")
        self.final = histogram(
            registry, "live_final_seconds", "From an utterance's end to its final text.", LATENCIES, "model"
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
        self._final = families.final.labels(model)

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
