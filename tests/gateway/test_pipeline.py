"""Real recordings through the pipeline, with real gRPC servers behind it."""

from __future__ import annotations

import asyncio
import io
import math
import threading
import time
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gateway.standin import KILLED, Cluster, Received, cluster, in_loop, settings_for_tests, text_of, until
from tests.ramp import TEXT, ramp, start_of, words_in
from whisper_serve.gateway.failures import DeadlineExceeded, Draining, NotReady, Overloaded, PoisonWindow
from whisper_serve.gateway.pipeline import Pipeline, Run, Work
from whisper_serve.speech import AudioDecodeError, AudioTooLong, VadOptions, Window, cut_windows, open_audio
from whisper_serve.wire import WindowOptions

DATA = Path(__file__).parents[1] / "data"
LONG = DATA / "de-librivox-simplicissimus.ogg"
SHORT = DATA / "en-jfk.mp3"
SMALL_WINDOWS = VadOptions(min_silence_ms=100)
MODEL = "whisper"


class Setup:
    """A pipeline in front of stand-ins."""

    def __init__(self, it: Cluster, pipeline: Pipeline) -> None:
        self.cluster, self.pipeline = it, pipeline
        self.server = it.servers[0]
        self.log = it.log

    async def transcribe(self, work: Work) -> Run:
        async with self.pipeline.open(work) as run:
            async for _ in run:
                pass
            return run


@asynccontextmanager
async def pipeline(size: int = 1, *, wait: bool = True, **changes: Any) -> AsyncIterator[Setup]:
    async with cluster(size, **changes) as it:
        made = Pipeline(settings_for_tests(**changes), {MODEL: it.backend}, it.log)
        await made.start()
        try:
            if wait:
                await until(lambda: it.backend.ready_addresses == size)
            yield Setup(it, made)
        finally:
            await made.close()


def work(path: Path = LONG, *, model: str = MODEL, vad: VadOptions | None = SMALL_WINDOWS, **changes: Any) -> Work:
    options = WindowOptions(**{"language": "de", **changes.pop("options", {})})
    return Work(path, options, vad, model, size_bytes=path.stat().st_size, **changes)


def windows_of(path: Path) -> list[Window]:
    with open_audio(path) as stream:
        return list(cut_windows(stream, SMALL_WINDOWS))


def long_wav(tmp_path: Path, seconds: int) -> Path:
    """The long recording again and again, as a WAV file of so many seconds."""
    with open_audio(LONG) as stream:
        samples = (np.concatenate(list(stream)) * 32767).astype("<i2")
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.resize(samples, seconds * 16_000).tobytes())
    return path


@in_loop
async def test_parts_come_in_order_and_hold_the_whole_file() -> None:
    expected = windows_of(LONG)
    assert len(expected) >= 3
    async with pipeline(2) as it:
        # The later a window comes, the sooner it is done.
        delays = {len(window.audio): 0.4 / (window.index + 1) for window in expected}
        for server in it.cluster.servers:
            server.delay = lambda received: delays[len(received.audio)]
        async with it.pipeline.open(work()) as run:
            parts = [part async for part in run]
        assert [(part.index, part.start, part.end) for part in parts] == [(w.index, w.start, w.end) for w in expected]
        assert [part.window.text for part in parts] == [text_of(len(window.audio)) for window in expected]
        transcript = run.transcript()
        assert transcript.text == "".join(text_of(len(window.audio)) for window in expected).strip()
        assert (transcript.language, transcript.language_probability, transcript.warnings) == ("de", None, ())
        assert run.duration == transcript.duration == pytest.approx(67.99, abs=0.05)
        assert it.log.audio == pytest.approx(67.99, abs=0.05)
        assert it.log.loads[-1] == (0, 0)


@in_loop
async def test_phantoms_are_dropped_where_nobody_looked_for_speech() -> None:
    async with pipeline() as it:
        it.server.hears = lambda received: " Vielen Dank fürs Zuschauen!"
        found = (await it.transcribe(work(SHORT))).transcript()
        assert (found.text, found.dropped) == ("Vielen Dank fürs Zuschauen!", ())
        whole = (await it.transcribe(work(SHORT, vad=None, condition_on_previous_text=True))).transcript()
        assert (whole.text, whole.segments) == ("", ())
        assert {(each.reason, each.text) for each in whole.dropped} == {("phantom", "Vielen Dank fürs Zuschauen!")}
        assert it.cluster.received[0].options.spoken_to_end
        assert not it.cluster.received[-1].options.spoken_to_end
        # Nor does it become the prompt of the next window.
        assert {received.options.prompt for received in it.cluster.received} == {None}


@in_loop
async def test_an_open_file_is_read_and_left_open() -> None:
    async with pipeline() as it:
        file = io.BytesIO(SHORT.read_bytes())
        run = await it.transcribe(Work(file, WindowOptions(language="en"), None, MODEL))
        assert run.duration == pytest.approx(11, abs=0.1)
        assert not file.closed


@in_loop
async def test_the_first_windows_are_at_work_while_the_rest_is_decoded(tmp_path: Path) -> None:
    path = long_wav(tmp_path, 600)
    async with pipeline() as it, it.pipeline.open(work(path)) as run:
        await anext(run)
        assert it.log.audio < 400


@in_loop
async def test_no_more_windows_are_decoded_than_twice_those_in_work(tmp_path: Path) -> None:
    path = long_wav(tmp_path, 600)
    async with pipeline(windows_per_request=2) as it:
        it.server.open.clear()
        async with it.pipeline.open(work(path)) as run:
            await until(lambda: len(it.server.received) == 2)
            decoded = -1.0
            while decoded != it.log.audio:
                decoded = it.log.audio
                await asyncio.sleep(0.3)
            # Four windows are held, and cutting them has looked ahead by no more than two.
            assert decoded <= 6 * 30 + 10
            assert it.server.most_at_once == 2
            it.server.open.set()
            count = [part async for part in run]
        assert it.server.most_at_once == 2
        assert len(count) >= 20


@in_loop
async def test_a_short_file_does_not_wait_for_a_long_one(tmp_path: Path) -> None:
    path = long_wav(tmp_path, 900)
    async with pipeline(windows_per_request=2, windows_in_flight=2) as it:
        it.server.seconds = 0.1
        async with it.pipeline.open(work(path)):
            await until(lambda: len(it.server.received) >= 3)
            before = len(it.server.received)
            await it.transcribe(work(SHORT))
            assert len(it.server.received) - before <= 5


@in_loop
async def test_the_language_of_the_first_window_holds_for_the_rest() -> None:
    async with pipeline() as it:
        it.server.language = "de"
        it.server.seconds = 0.1
        run = await it.transcribe(work(options={"language": None}))
        asked = [received.options.language for received in it.server.received]
        assert asked[0] is None
        assert set(asked[1:]) == {"de"}
        assert len(asked) >= 3
        assert it.server.received[1].company == 0
        assert (run.transcript().language, run.transcript().language_probability) == ("de", 0.9)


@in_loop
async def test_windows_go_one_by_one_with_the_text_before_as_prompt() -> None:
    async with pipeline() as it:
        await it.transcribe(work(condition_on_previous_text=True, options={"prompt": "Grimmelshausen."}))
        received = it.server.received
        assert it.server.most_at_once == 1
        heard = "".join(each.text for each in received[:2]).strip()
        assert [each.options.prompt for each in received[:3]] == [
            "Grimmelshausen.",
            "Grimmelshausen. " + received[0].text.strip(),
            "Grimmelshausen. " + heard,
        ]


@in_loop
async def test_without_it_every_window_gets_the_prompt_that_was_asked_for() -> None:
    async with pipeline() as it:
        await it.transcribe(work(options={"prompt": "Grimmelshausen."}))
        assert {each.options.prompt for each in it.server.received} == {"Grimmelshausen."}


@in_loop
async def test_windows_that_overlap_become_one_text() -> None:
    async with pipeline(windows_per_request=8) as it:
        it.server.says = lambda received: words_in(received.audio)
        it.server.delay = lambda received: 0.3 - start_of(received.audio) / 400  # The last one is done first.
        async with it.pipeline.open(Work(io.BytesIO(ramp()), WindowOptions(language="en"), None, MODEL)) as run:
            parts = [part async for part in run]
        assert [part.index for part in parts] == list(range(len(parts)))
        assert len(parts) >= 4
        assert all(before.end > after.start for before, after in pairwise(parts))
        assert "".join(part.window.text for part in parts).split() == TEXT
        assert all(each.options.word_timestamps and each.options.logprobs for each in it.server.received)
        transcript = run.transcript()
        assert transcript.text.split() == TEXT
        assert (transcript.words, transcript.token_logprobs) == ((), ())
        assert all(before.end <= after.start for before, after in pairwise(transcript.segments))


@in_loop
async def test_words_and_logprobs_of_windows_that_overlap_come_if_they_are_asked_for() -> None:
    async with pipeline() as it:
        it.server.says = lambda received: words_in(received.audio)
        options = WindowOptions(language="en", word_timestamps=True, logprobs=True)
        transcript = (await it.transcribe(Work(io.BytesIO(ramp()), options, None, MODEL))).transcript()
        assert [word.word.strip() for word in transcript.words] == TEXT
        assert [token.token.strip() for token in transcript.token_logprobs] == TEXT


@in_loop
async def test_a_part_waits_for_the_one_that_overlaps_it() -> None:
    async with pipeline() as it:
        it.server.says = lambda received: words_in(received.audio)
        it.server.delay = lambda received: 0.0 if start_of(received.audio) < 1 else 0.3
        async with it.pipeline.open(Work(io.BytesIO(ramp()), WindowOptions(language="en"), None, MODEL)) as run:
            await anext(run)
            assert len(it.server.received) >= 2


@in_loop
async def test_the_prompt_ends_where_its_window_starts() -> None:
    async with pipeline() as it:
        it.server.says = lambda received: words_in(received.audio)
        work = Work(io.BytesIO(ramp()), WindowOptions(language="en"), None, MODEL, condition_on_previous_text=True)
        assert (await it.transcribe(work)).transcript().text.split() == TEXT
        for received in it.server.received[1:]:
            prompt, heard = (received.options.prompt or "").split(), words_in(received.audio)
            before = TEXT[: TEXT.index(heard[0].word.strip())]
            # A word that the start of the window cuts belongs to neither.
            assert prompt in (before, before[:-1])


@in_loop
async def test_each_window_may_have_its_own_language() -> None:
    async with pipeline() as it:
        languages = dict(zip([len(window.audio) for window in windows_of(LONG)], ("de", "en", "de"), strict=True))
        it.server.speaks = lambda received: languages[len(received.audio)]
        it.server.open.clear()
        async with it.pipeline.open(work(options={"language": None}, language_per_window=True)) as run:
            await until(lambda: len(it.server.received) == 3)  # None waits to hear another's language.
            it.server.open.set()
            async for _ in run:
                pass
        assert {received.options.language for received in it.server.received} == {None}
        transcript = run.transcript()
        assert [segment.language for segment in transcript.segments] == ["de", "en", "de"]
        assert (transcript.language, transcript.language_probability) == ("de", None)


@in_loop
async def test_only_the_language_is_asked_for() -> None:
    async with pipeline() as it:
        it.server.language = "de"
        answer = await it.pipeline.detect_language(work(options={"prompt": "x"}))
        assert answer.language_probabilities == {"de": 0.9}
        assert [(each.options.detect_only, each.options.language) for each in it.server.received] == [(True, None)]
        assert it.log.loads[-1] == (0, 0)


@in_loop
async def test_the_language_of_silence_is_asked_for_too(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000 * 40))
    async with pipeline() as it:
        await it.pipeline.detect_language(work(path))
        assert 10 * 16_000 <= len(it.server.received[0].audio) <= 30 * 16_000
        run = await it.transcribe(work(path))
        assert (run.transcript().text, run.duration) == ("", 40.0)


@in_loop
async def test_a_worker_that_dies_costs_only_time() -> None:
    expected = "".join(text_of(len(window.audio)) for window in windows_of(LONG)).strip()
    async with pipeline(2) as it:
        it.server.failures.extend([KILLED] * 2)
        run = await it.transcribe(work())
        assert run.transcript().text == expected


@in_loop
async def test_a_poison_window_fails_its_request_alone() -> None:
    expected = windows_of(LONG)
    async with pipeline() as it:
        bad = len(expected[1].audio)

        def is_poison(received: Received) -> bool:
            return len(received.audio) == bad

        it.server.poison = is_poison
        it.server.seconds = 0.05
        results = await asyncio.gather(
            it.transcribe(work()), it.transcribe(work(SHORT)), it.transcribe(work(SHORT)), return_exceptions=True
        )
        assert isinstance(results[0], PoisonWindow)
        assert (results[0].start, results[0].end) == (expected[1].start, expected[1].end)
        assert all(isinstance(result, Run) for result in results[1:])
        assert sum(is_poison(received) for received in it.server.received) == 2


@pytest.mark.parametrize("times", [1, 20])
@in_loop
async def test_leaving_stops_decoding_and_unsent_windows_at_once(times: int, tmp_path: Path) -> None:
    path = long_wav(tmp_path, 900)
    async with pipeline(windows_per_request=2, windows_in_flight=4) as it:
        it.server.seconds = 0.3

        async def leave() -> None:
            async with it.pipeline.open(work(path)) as run:
                await anext(run)

        clients = [asyncio.create_task(leave()) for _ in range(times)]
        await until(lambda: len(it.server.received) >= 2)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        sent, decoded = len(it.log.sent), it.log.audio
        await asyncio.sleep(0.8)
        assert len(it.log.sent) == sent
        assert it.log.audio == decoded
        assert await it.pipeline.drain(0)
        assert it.log.loads[-1] == (0, 0)


@in_loop
async def test_leaving_stops_decoding_within_a_long_silence(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, 1_000, 0, "NONE", ""))
        file.writeframes(b"\x80" * 1_000 * 7_200)
    async with pipeline() as it:
        started = time.monotonic()
        async with it.pipeline.open(work(path)):
            await asyncio.sleep(0.1)
        assert time.monotonic() - started < 1.5
        assert await it.pipeline.drain(0)


@in_loop
async def test_requests_wait_for_a_model_and_go_on_when_it_comes() -> None:
    async with pipeline(wait=False) as it:
        await it.cluster.backend.wait_ready(10)
        await it.server.stop()
        await until(lambda: not it.pipeline.ready, 15)
        running = asyncio.create_task(it.transcribe(work(SHORT)))
        await asyncio.sleep(0.3)
        assert not running.done()
        await it.server.start()
        assert (await running).transcript().text


@in_loop
async def test_requests_do_not_wait_for_ever_for_a_model() -> None:
    async with pipeline(wait=False, hold_seconds=0.3) as it:
        it.server.refuses_probes = KILLED
        await it.server.stop()
        await until(lambda: not it.pipeline.ready, 15)
        started = time.monotonic()
        with pytest.raises(NotReady) as caught:
            await it.transcribe(work(SHORT))
        assert 0.25 < time.monotonic() - started < 3
        assert caught.value.retry_after


@in_loop
async def test_too_much_audio_is_refused_with_the_time_to_come_again() -> None:
    async with pipeline(max_queued_audio_seconds=20) as it:
        await it.transcribe(work(SHORT))  # So that there is a throughput.
        it.server.open.clear()
        async with it.pipeline.open(work()) as run:
            await until(lambda: sum(it.log.loads[-1]) > 20)
            with pytest.raises(Overloaded) as caught:
                await it.transcribe(work(SHORT))
            assert caught.value.retry_after is not None
            assert 1 <= caught.value.retry_after <= 120
            assert caught.value.audio_seconds_ahead == math.ceil(sum(it.log.loads[-1]))
            it.server.open.set()
            async for _ in run:
                pass
        await it.transcribe(work(SHORT))


@in_loop
async def test_a_request_has_a_deadline() -> None:
    async with pipeline(request_timeout=0.8) as it:
        it.server.open.clear()
        with pytest.raises(DeadlineExceeded):
            await it.transcribe(work())
        it.server.open.set()
        await it.transcribe(work(SHORT))


@in_loop
async def test_errors_of_the_audio_are_raised(tmp_path: Path) -> None:
    text = tmp_path / "text.mp3"
    text.write_text("no audio at all, whatever its name")
    async with pipeline(max_audio_seconds=30) as it:
        with pytest.raises(AudioDecodeError, match="text"):
            await it.transcribe(work(text))
        with pytest.raises(AudioTooLong):
            await it.transcribe(work(LONG))  # Ogg does not announce it: found while decoding.
        await it.transcribe(work(SHORT))
        assert it.log.loads[-1] == (0, 0)


@in_loop
async def test_warnings_of_decoding_are_told(tmp_path: Path) -> None:
    cut = tmp_path / "cut.flac"
    whole = (DATA / "en-librispeech-1089-134686-0000.flac").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    async with pipeline() as it:
        run = await it.transcribe(work(cut))
        with open_audio(cut) as stream:
            for _ in stream:
                pass
        assert run.transcript().warnings == tuple(stream.warnings) != ()


@in_loop
async def test_draining_lets_work_finish_and_takes_nothing_new() -> None:
    async with pipeline() as it:
        it.server.open.clear()
        running = asyncio.create_task(it.transcribe(work(SHORT)))
        await until(lambda: len(it.server.received) == 1)
        assert not await it.pipeline.drain(0.1)
        assert not it.pipeline.ready
        with pytest.raises(Draining):
            await it.transcribe(work(SHORT))
        it.server.open.set()
        assert await it.pipeline.drain(5)
        assert (await running).transcript().text


@in_loop
async def test_no_thread_is_held_by_a_file_that_waits(tmp_path: Path) -> None:
    path = long_wav(tmp_path, 600)
    async with pipeline(decode_threads=1, windows_in_flight=64) as it:
        it.server.open.clear()
        async with it.pipeline.open(work(path)), it.pipeline.open(work(path)):
            await until(lambda: len(it.server.received) == 8)
            it.server.open.set()
            await it.transcribe(work(SHORT))
        assert sum(thread.name.startswith("decode") for thread in threading.enumerate()) <= 1
