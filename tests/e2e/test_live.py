"""Live streams to the whole stack: real speech, the real model, and a worker that dies on the way."""

from __future__ import annotations

import time

import pytest

from tests.e2e.recordings import chunks, join, pcm, wav
from tests.e2e.stack import Stack, wait_until
from tests.speech.conftest import encode_audio
from whisper_serve.client.live import LiveEvent, LiveSettings, listen
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.scores import error_rate
from whisper_serve.speech import SAMPLE_RATE, Audio

pytestmark = [pytest.mark.e2e, pytest.mark.weights]

NAMES = ("en-jfk.mp3", "en-librispeech-1089-134686-0000.flac", "en-librispeech-61-70968-0000.flac")
MOST_WORSE = 2.0
"""Percentage points of word errors that live texts may have above those of the same audio as a file."""


@pytest.fixture(scope="module")
def speech(clips: dict[str, Sample]) -> tuple[Audio, str]:
    return join([clips[name] for name in NAMES], 24)


def text_of(events: list[LiveEvent]) -> str:
    return " ".join(event.text for event in events if event.type == "final")


def check(stack: Stack, audio: Audio, reference: str, events: list[LiveEvent]) -> None:
    assert events[-1].type == "done"
    batch = error_rate(reference, stack.text(wav(audio), language="en").text, "en").percent
    live = error_rate(reference, text_of(events), "en").percent
    print(f"word errors: {live:.1f} % live, {batch:.1f} % as a file")
    assert live <= batch + MOST_WORSE


def test_what_is_sent_fast_is_understood_as_the_file_is(stack: Stack, speech: tuple[Audio, str]) -> None:
    audio, reference = speech
    url = stack.url.replace("http", "ws")
    events = list(listen(url, chunks(pcm(audio)), LiveSettings(language="en", interim_results=False, words=True)))
    check(stack, audio, reference, events)
    finals = [event for event in events if event.type == "final"]
    times = [time for event in finals for word in event.words for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert times[-1] <= len(audio) / SAMPLE_RATE


def test_what_a_browser_records_is_understood(stack: Stack, jfk: bytes, clips: dict[str, Sample]) -> None:
    audio, reference = join([clips["en-jfk.mp3"]], 5)
    options = {"live": "1", "cluster_time_limit": "100"}
    data = encode_audio(audio.repeat(3), "webm", "libopus", rate=48_000, options=options)
    settings = LiveSettings(language="en", encoding="webm", endpointing_ms=1500)
    events = list(listen(stack.url.replace("http", "ws"), chunks(data, 1000), settings))
    assert error_rate(reference, text_of(events), "en").percent <= 10


def test_a_worker_that_dies_on_the_way_is_not_noticed(stack: Stack, speech: tuple[Audio, str]) -> None:
    audio, reference = speech
    events = []
    settings = LiveSettings(language="en", interim_results=False)
    for event in listen(stack.url.replace("http", "ws"), chunks(pcm(audio), pace=0.02), settings):
        if event.type == "speech_ended" and event.utterance == 0:
            stack.descendant("model_service_worker").kill()
        events.append(event)
    check(stack, audio, reference, events)
    wait_until(lambda: stack.answers("/readyz"), 60)


@pytest.mark.slow
def test_what_is_spoken_now_is_captioned_now(stack: Stack, speech: tuple[Audio, str]) -> None:
    audio, reference = speech
    started = time.monotonic()
    settings = LiveSettings(language="en")
    events = list(listen(stack.url.replace("http", "ws"), chunks(pcm(audio), pace=0.1), settings))
    check(stack, audio, reference, events)
    assert any(event.type == "interim" for event in events)
    assert time.monotonic() - started < 1.2 * len(audio) / SAMPLE_RATE + 10
