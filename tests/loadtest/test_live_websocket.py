"""The transport for live audio, against a real gateway whose model answers by rule."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.answers import Refused, RequestError
from loadtest.clips import Clip
from loadtest.transports.live_websocket import LiveTransport
from tests.gateway.deterministic import Served
from whisper_serve.gateway.failures import BackendUnavailable, Overloaded


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    yield running
    running.pipeline.refuse = running.pipeline.model.fails = None


@pytest.fixture(scope="module")
def jfk(data: Path) -> Clip:
    return Clip("en-jfk.mp3", "en", "", 11.0, (data / "en-jfk.mp3").read_bytes())


def test_texts_of_all_utterances_come(served: Served, jfk: Clip) -> None:
    answer = LiveTransport(served.url, pace=0.0).transcribe(jfk)
    assert answer.text.count("seconds.") == 3
    assert answer.first_text_seconds is not None
    assert served.pipeline.model.asked[-1].options.language == "en"


def test_audio_is_sent_at_its_pace_and_only_what_comes_after_it_counts(served: Served, jfk: Clip) -> None:
    started = time.perf_counter()
    answer = LiveTransport(served.url, pace=0.2).transcribe(jfk)
    took = time.perf_counter() - started
    assert 0.2 * 11 <= took < 11
    assert answer.seconds <= took - 0.2 * 11 + 0.1
    assert answer.first_text_seconds is not None
    assert answer.first_text_seconds < 0.2 * 11


def test_a_refusal_is_no_failure(served: Served, jfk: Clip) -> None:
    served.pipeline.refuse = Overloaded(7)
    with pytest.raises(Refused):
        LiveTransport(served.url, pace=0.0).transcribe(jfk)


def test_an_error_ends_the_stream(served: Served, jfk: Clip) -> None:
    served.pipeline.model.fails = BackendUnavailable("The model is gone.")
    with pytest.raises(RequestError) as caught:
        LiveTransport(served.url, pace=0.0).transcribe(jfk)
    assert caught.value.kind == "error in stream"


def test_no_server_is_a_failure(jfk: Clip) -> None:
    with pytest.raises(RequestError) as caught:
        LiveTransport("http://127.0.0.1:9", pace=0.0).transcribe(jfk)
    assert caught.value.kind == "no answer"
