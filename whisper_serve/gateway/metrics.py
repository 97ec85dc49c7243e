"""What Prometheus is told. Labels take few values: routes, classes of status, formats, reasons from our own code."""

from __future__ import annotations

import platform
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from whisper_serve import __version__
from whisper_serve.speech import Transcript

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
LATENCIES: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds, to an hour: long audio takes long."""
REAL_TIME_FACTORS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
"""Seconds of work for each second of audio."""


class Metrics:
    """All of them, in a registry of their own. Serves the pipeline as its observer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests()
        self._windows()
        self._live()
        build = self._gauge("build_info", "What runs here; always 1.", ["version", "python"])
        build.labels(__version__, platform.python_version()).set(1)

    def _requests(self) -> None:
        self._answered = self._counter("requests", "Requests answered.", ["route", "status", "format"])
        self._latency = self._histogram("request_seconds", "From first to last byte.", LATENCIES, ["route", "status"])
        self._factor = self._histogram("real_time_factor", "Time for each second of audio.", REAL_TIME_FACTORS)
        self._first = self._histogram("first_token_seconds", "Until the first text of a stream was sent.", LATENCIES)
        self._audio = self._counter("audio_seconds", "Audio of requests answered with success.")
        self._dropped = self._counter("dropped_segments", "Texts left out because nobody said them.", ["reason"])
        self._running = self._gauge("requests_running", "Requests being answered now.")
        self._rejected = self._counter("rejections", "Requests refused.", ["reason"])

    def _windows(self) -> None:
        self._sent = self._counter("windows_sent", "Windows sent to the model server, each time counted.")
        self._sent_seconds = self._counter("window_audio_seconds_sent", "Audio of windows sent.")
        self._retried = self._counter("windows_retried", "Windows sent again.", ["reason"])
        self._failed = self._counter("windows_failed", "Windows given up.", ["reason"])
        self._decoded = self._counter("decoded_audio_seconds", "Audio decoded and searched for speech.")
        self._decoding = self._counter("decode_seconds", "Time spent decoding.")
        self._searching = self._counter("vad_seconds", "Time spent finding speech and cutting windows.")
        self._waiting = self._gauge("queued_audio_seconds", "Audio that waits to be sent.")
        self._in_flight = self._gauge("in_flight_audio_seconds", "Audio at the model server.")

    def _live(self) -> None:
        self._streams = self._gauge("live_streams", "Live streams that are open.")
        self._live_audio = self._counter("live_audio_seconds", "Audio of live streams.")
        self._interim = self._histogram("live_interim_seconds", "Until an interim result came.", LATENCIES)
        self._skipped = self._counter("live_interims_skipped", "Interim results left out because of load.")
        self._final = self._histogram("live_final_seconds", "From an utterance's end to its final text.", LATENCIES)

    def window_sent(self, seconds: float) -> None:
        """A window of so much audio goes to the model server."""
        self._sent.inc()
        self._sent_seconds.inc(seconds)

    def window_retried(self, reason: str) -> None:
        """A window goes there again."""
        self._retried.labels(reason).inc()

    def window_failed(self, reason: str) -> None:
        """A window is given up."""
        self._failed.labels(reason).inc()

    def decoded(self, seconds: float, decoding: float, searching: float) -> None:
        """So much audio was decoded, and searched for speech, in so much time."""
        self._decoded.inc(seconds)
        self._decoding.inc(decoding)
        self._searching.inc(searching)

    def queue(self, seconds_waiting: float, seconds_in_flight: float) -> None:
        """So much audio waits and is in work now."""
        self._waiting.set(seconds_waiting)
        self._in_flight.set(seconds_in_flight)

    def request_began(self) -> None:
        """A request came in."""
        self._running.inc()

    def request_ended(self, route: str, status: int, response_format: str, took: float) -> None:
        """A request was answered, or its client went away (499)."""
        self._running.dec()
        self._answered.labels(route, str(status), response_format).inc()
        self._latency.labels(route, f"{status // 100}xx").observe(took)

    def call_ended(self, method: str, code: str, took: float) -> None:
        """A gRPC call ended; the code is the name of its status. It counts among the requests."""
        self._running.dec()
        self._answered.labels(method, code, "grpc").inc()
        self._latency.labels(method, code).observe(took)

    def rejected(self, reason: str) -> None:
        """A request was refused; the reason is an error's code."""
        self._rejected.labels(reason).inc()

    def first_token(self, took: float) -> None:
        """The first text of a stream was sent."""
        self._first.observe(took)

    def transcribed(self, transcript: Transcript, took: float) -> None:
        """A request was answered with success, by this transcript."""
        self._audio.inc(transcript.duration)
        if transcript.duration > 0:
            self._factor.observe(took / transcript.duration)
        self._count_dropped(transcript)

    def live_streams(self, count: int) -> None:
        """So many live streams are open."""
        self._streams.set(count)

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
            self._dropped.labels(dropped.reason).inc()

    def render(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(f"whisper_gateway_{name}", text, labels or [], registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(f"whisper_gateway_{name}", text, labels or [], registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], labels: list[str] | None = None
    ) -> Histogram:
        return Histogram(f"whisper_gateway_{name}", text, labels or [], buckets=buckets, registry=self.registry)
