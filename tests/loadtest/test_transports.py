"""Transports against a real gateway, whose pipeline answers by rule."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from loadtest.answers import Refused, RequestError, Transport
from loadtest.transports.event_stream import EventStreamTransport, read_events
from loadtest.transports.form import FormTransport
from loadtest.transports.speech_grpc import SpeechGrpcTransport
from tests.gateway.deterministic import Served
from tests.gateway.test_app import TEXT, wait_until
from tests.loadtest.examples import CLIP
from whisper_serve.gateway.failures import BackendUnavailable, NotReady, Overloaded

MAKERS: dict[str, Callable[[Served], Transport]] = {
    "rest": lambda served: FormTransport(served.url),
    "streaming": lambda served: EventStreamTransport(served.url),
    "grpc": lambda served: SpeechGrpcTransport(served.grpc),
}


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    yield running
    running.pipeline.refuse = running.pipeline.fail_after = None
    running.call(running.pipeline.gate.set)


@pytest.fixture(params=sorted(MAKERS))
def transport(served: Served, request: pytest.FixtureRequest) -> Iterator[Transport]:
    made = MAKERS[request.param](served)
    yield made
    made.close()


def test_a_clip_is_transcribed_in_its_language(served: Served, transport: Transport) -> None:
    started = time.perf_counter()
    answer = transport.transcribe(CLIP)
    assert answer.text == TEXT
    assert 0 < answer.seconds <= time.perf_counter() - started
    assert served.pipeline.works[-1].options.language == "en"


def test_a_refusal_is_no_failure(served: Served, transport: Transport) -> None:
    served.pipeline.refuse = Overloaded(7)
    with pytest.raises(Refused):
        transport.transcribe(CLIP)


def test_a_failure_has_its_kind(served: Served, transport: Transport) -> None:
    kinds = {FormTransport: "HTTP 503", EventStreamTransport: "HTTP 503", SpeechGrpcTransport: "gRPC UNAVAILABLE"}
    served.pipeline.refuse = NotReady(1)
    with pytest.raises(RequestError) as caught:
        transport.transcribe(CLIP)
    assert caught.value.kind == kinds[type(transport)]
    assert not isinstance(caught.value, Refused)


def test_a_bad_file_is_a_failure(transport: Transport) -> None:
    with pytest.raises(RequestError, match="the file holds no audio"):
        transport.transcribe(replace(CLIP, content=b"noise"))


def test_no_server_is_a_failure() -> None:
    for make in (FormTransport, EventStreamTransport):
        transport = make("http://127.0.0.1:9")
        with pytest.raises(RequestError) as caught:
            transport.transcribe(CLIP)
        assert caught.value.kind == "no answer"
        transport.close()


def test_waiting_too_long_is_a_failure(served: Served) -> None:
    served.call(served.pipeline.gate.clear)
    transport = FormTransport(served.url, timeout=0.3)
    with pytest.raises(RequestError) as caught:
        transport.transcribe(CLIP)
    assert caught.value.kind == "timeout"
    transport.close()


def test_the_first_text_of_a_stream_has_a_time_of_its_own(served: Served) -> None:
    served.call(served.pipeline.gate.clear)
    transport = EventStreamTransport(served.url)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(transport.transcribe, CLIP)
        wait_until(lambda: served.pipeline.open_now > 0)
        # The first part is on its way, and the second waits until now.
        served.call(lambda: served.loop.call_later(0.5, served.pipeline.gate.set))
        answer = asked.result(20)
    assert answer.first_text_seconds is not None
    assert answer.first_text_seconds < answer.seconds - 0.1
    transport.close()


def test_an_error_within_a_stream_is_a_failure(served: Served) -> None:
    served.pipeline.fail_after = BackendUnavailable("The model is gone.")
    transport = EventStreamTransport(served.url)
    with pytest.raises(RequestError) as caught:
        transport.transcribe(CLIP)
    assert caught.value.kind == "error in stream"
    transport.close()


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ['data: {"type": "transcript.text.delta", "delta": "One"}'],
        ['data: {"type": "transcript.text.done", "text": "One window"}'],
        [
            'data: {"type": "transcript.text.delta", "delta": "One"}',
            'data: {"type": "transcript.text.done", "text": "Two"}',
        ],
    ],
)
def test_a_stream_that_lacks_something_is_a_failure(lines: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        read_events(lines, time.perf_counter())
    assert caught.value.kind == "broken stream"
