from __future__ import annotations

import asyncio

import pytest

from tests.gateway.live.rig import CHUNK, Rig, pcm, rig
from tests.gateway.standin import in_loop, until
from whisper_serve.gateway.failures import BackendUnavailable, PoisonWindow, StreamIdle
from whisper_serve.gateway.live.events import Done, Final, Interim, SpeechEnded, SpeechStarted
from whisper_serve.gateway.live.options import LiveOptions
from whisper_serve.speech import AudioDecodeError, AudioTooLong, Dropped
from whisper_serve.wire import WindowOptions


async def feed(it: Rig, seconds: float, loud: float = 0.9) -> None:
    """As `it.say`, while somebody else holds slots."""
    for _ in range(round(seconds / CHUNK)):
        it.now += CHUNK
        await it.session.write(pcm(CHUNK, loud))
        await asyncio.sleep(0)


@in_loop
async def test_an_utterance_is_told_from_its_start_to_its_text() -> None:
    async with rig() as it:
        await it.pause(1)
        await it.say(2.5)
        await it.pause(1)
        await it.say(0.5)
        await it.finish()
        kinds = [type(event) for event in it.events]
        spoken = [SpeechStarted, Interim, Interim, Interim, SpeechEnded, Final]
        assert kinds == [*spoken, SpeechStarted, SpeechEnded, Final, Done]
        first, second = it.of(Final)
        assert (first.utterance, first.start, first.end) == (
            0,
            pytest.approx(0.7, abs=0.05),
            pytest.approx(3.8, abs=0.05),
        )
        assert first.transcript.text == "3.1 seconds."
        assert first.transcript.segments[0].start == first.start
        assert (second.utterance, second.end) == (1, pytest.approx(5.0))
        assert it.of(Done) == [Done(5.0, 2)]
        assert it.log.audio == pytest.approx(5.0)
        assert (it.admission.seconds_waiting, it.admission.seconds_in_flight) == (0, 0)


@in_loop
async def test_what_was_said_before_is_the_prompt_if_that_is_asked_for() -> None:
    options = LiveOptions(window=WindowOptions(prompt="Names."), interim_results=False, condition_on_previous_text=True)
    async with rig(options) as it:
        await it.say(1)
        await it.pause(1)
        await it.say(1)
        await it.pause(15)
        await it.say(1)
        await it.finish()
        assert [asked.options.prompt for asked in it.model.asked] == ["Names.", "Names. 1.3 seconds.", "Names."]


@in_loop
async def test_each_utterance_has_the_prompt_and_the_language_that_was_found() -> None:
    async with rig(LiveOptions(window=WindowOptions(prompt="Names."), interim_results=False)) as it:
        await it.say(1)
        await it.pause(1)
        await it.say(1)
        await it.finish()
        assert [asked.options.prompt for asked in it.model.asked] == ["Names.", "Names."]
        assert [asked.options.language for asked in it.model.asked] == [None, "en"]


@in_loop
async def test_silence_costs_the_model_nothing() -> None:
    async with rig() as it:
        await it.pause(20)
        await it.finish()
        assert (it.model.asked, it.events) == ([], [Done(20.0, 0)])


@in_loop
async def test_an_interim_result_waits_for_new_speech_and_for_the_last_one() -> None:
    async with rig() as it:
        await it.say(1.5)
        assert len(it.of(Interim)) == 1
        await it.pause(0.2)  # too short to end anything
        assert len(it.model.asked) == 1
        it.model.open.clear()
        await it.say(5)
        assert (it.model.in_work, len(it.model.asked)) == (1, 2)
        it.model.open.set()
        await it.settle()
        assert len(it.of(Interim)) == 2
        asked = it.now
        while len(it.model.asked) == 2:
            await it.say(0.1)
        assert it.now - asked > 3  # as long as the slow one took
        assert it.model.most_in_work == 1


@in_loop
async def test_a_pause_that_may_end_an_utterance_has_its_final_text_computed_before_it_does() -> None:
    async with rig(LiveOptions(window=WindowOptions(word_timestamps=True))) as it:
        it.model.open.clear()
        await it.say(0.8)
        await it.pause(0.4)
        (asked,) = it.model.asked
        assert asked.options.word_timestamps
        await it.pause(0.4)
        assert (len(it.of(SpeechEnded)), it.of(Final)) == (1, [])
        it.model.open.set()
        await until(lambda: len(it.of(Final)) == 1)
        (final,) = it.of(Final)
        assert (final.start, final.end) == pytest.approx(asked.span, abs=0.01)
        assert (len(it.model.asked), it.of(Interim)) == (1, [])
        await it.pause(1)
        await it.finish()
        assert len(it.model.asked) == 1
        assert it.log.finals == pytest.approx([0.1])
        assert (it.admission.seconds_waiting, it.admission.seconds_in_flight) == (0, 0)


@in_loop
async def test_after_a_pause_in_which_the_text_came_the_final_one_follows_at_once() -> None:
    async with rig() as it:
        await it.say(0.8)
        await it.pause(0.5)
        assert [event.text for event in it.of(Interim)] == ["1.1 seconds."]
        it.model.open.clear()  # nothing more is asked
        await it.pause(0.3)
        assert [event.text for event in it.of(Final)] == ["1.1 seconds."]


@in_loop
async def test_where_speech_goes_on_after_a_pause_its_text_was_an_interim_result() -> None:
    async with rig() as it:
        it.model.open.clear()
        await it.say(0.8)
        await it.pause(0.4)
        await it.say(0.5)
        it.model.open.set()
        await it.settle()
        assert [event.text for event in it.of(Interim)] == ["1.1 seconds."]
        await it.pause(0.8)
        assert [event.text for event in it.of(Final)] == ["2.0 seconds."]
        assert [round(asked.seconds, 1) for asked in it.model.asked] == [1.1, 2.0]


@in_loop
async def test_what_was_heard_so_far_is_the_draft_of_the_rest_and_unsure_final_texts_are_searched() -> None:
    async with rig() as it:
        it.model.tokens = lambda asked: (50364, round(10 * asked.seconds))
        await it.say(2.5)
        await it.session.commit()
        await it.settle()
        await it.say(0.5)
        await it.finish()
        options = [asked.options for asked in it.model.asked]
        assert [each.draft_tokens for each in options] == [None, (50364, 11), (50364, 22), None]
        assert [each.search_threshold for each in options] == [None, None, -0.4, -0.4]


@in_loop
async def test_while_others_have_the_model_at_work_nothing_is_sent_before_its_end() -> None:
    async with rig() as it, it.scheduler.lane().slot():
        it.model.open.clear()  # so that nobody waits for the slot to be given back
        await feed(it, 0.8)
        await feed(it, 0.5, 0.0)
        assert it.model.asked == []
        await feed(it, 0.5, 0.0)
        await until(lambda: len(it.model.asked) == 1)


@in_loop
async def test_interim_results_give_way_to_other_work() -> None:
    async with rig() as it, it.scheduler.lane().slot():
        it.model.open.clear()  # so that nobody waits for the slot to be given back
        await feed(it, 3)
        assert (it.model.asked, it.log.skipped) == ([], 1)


@in_loop
async def test_interim_results_can_be_left_out() -> None:
    async with rig(LiveOptions(interim_results=False)) as it:
        await it.say(5)
        assert it.model.asked == []
        await it.pause(0.5)
        assert (len(it.model.asked), it.of(Interim)) == (1, [])
        await it.pause(0.5)
        assert (len(it.model.asked), len(it.of(Final))) == (1, 1)


@in_loop
async def test_an_interim_result_that_comes_too_late_is_thrown_away() -> None:
    async with rig() as it:
        it.model.open.clear()
        await it.say(1.5)
        await it.pause(1)
        assert it.model.in_work == 2  # the interim result and the final one
        it.model.open.set()
        await until(lambda: len(it.of(Final)) == 1)
        assert it.of(Interim) == []


@in_loop
async def test_interim_texts_show_what_is_stable() -> None:
    async with rig() as it:
        texts = iter([" Ask not", " Ask not what", " Ask knot what your"])
        it.model.hears = lambda asked: next(texts)
        await it.say(3.5)
        assert [(event.stable, event.text) for event in it.of(Interim)] == [
            ("", "Ask not"),
            ("Ask not", "Ask not what"),
            ("Ask not", "Ask not what your"),
        ]


@in_loop
async def test_an_interim_result_that_fails_harms_nobody() -> None:
    async with rig() as it:
        it.model.fails = PoisonWindow(0, 1)
        await it.say(1.5)
        it.model.fails = None
        await it.pause(1)
        await it.finish()
        assert len(it.of(Final)) == 1
        assert it.error is None


@in_loop
async def test_a_final_text_that_fails_ends_the_stream() -> None:
    async with rig(LiveOptions(interim_results=False)) as it:
        it.model.fails = BackendUnavailable()
        await it.say(1)
        await it.pause(1)
        await it.telling
        assert isinstance(it.error, BackendUnavailable)
        await it.session.write(pcm(100))  # passed over: nobody waits for it


@in_loop
async def test_speech_without_an_end_is_cut() -> None:
    async with rig(LiveOptions(interim_results=False)) as it:
        await it.say(62)
        await it.finish()
        finals = it.of(Final)
        assert all(final.end - final.start <= 28 for final in finals)
        assert [final.start for final in finals[1:]] == [final.end for final in finals[:-1]]
        assert finals[-1].end == 62


@in_loop
async def test_audio_waits_while_too_much_of_it_has_no_text() -> None:
    async with rig(LiveOptions(interim_results=False), buffer_seconds=10) as it:
        it.model.open.clear()
        speech = b"".join([pcm(3), pcm(1, 0)])
        writing = asyncio.create_task(it.session.write(speech * 20))
        await until(lambda: it.log.audio >= 12)
        await asyncio.sleep(0.05)
        assert it.log.audio == pytest.approx(12, abs=1)
        assert not writing.done()
        it.model.open.set()
        await writing
        await it.finish()
        assert it.log.audio == pytest.approx(80)
        assert len(it.of(Final)) == 20


@in_loop
async def test_events_that_nobody_reads_stop_the_audio() -> None:
    async with rig(LiveOptions(interim_results=False)) as it:
        it.telling.cancel()
        speech = b"".join([pcm(0.3), pcm(0.7, 0)])
        writing = asyncio.create_task(it.session.write(speech * 400))
        await until(lambda: it.log.audio > 80)
        await asyncio.sleep(0.1)
        assert not writing.done()
        writing.cancel()


@in_loop
async def test_closing_stops_everything() -> None:
    async with rig(buffer_seconds=4) as it:
        it.model.open.clear()
        await it.say(1.5)
        await it.pause(1)
        writing = asyncio.create_task(it.session.write((pcm(2) + pcm(1, 0)) * 10))
        await until(lambda: it.model.in_work == 2)
        await it.session.close()
        await writing
        assert (it.model.in_work, it.scheduler.in_flight) == (0, 0)


@in_loop
async def test_a_commit_ends_the_utterance() -> None:
    async with rig() as it:
        await it.say(0.8)
        await it.session.commit()
        await until(lambda: len(it.of(Final)) == 1)
        await it.say(0.8)
        await it.finish()
        assert [final.utterance for final in it.of(Final)] == [0, 1]


@in_loop
async def test_a_stream_that_brings_nothing_ends() -> None:
    async with rig(idle_seconds=0.1) as it:
        await it.say(0.3)
        it.now += 1
        await it.telling
        assert isinstance(it.error, StreamIdle)


@in_loop
async def test_a_stream_may_not_be_longer_than_the_limit() -> None:
    async with rig(max_seconds=5) as it:
        with pytest.raises(AudioTooLong):
            await it.session.write(pcm(10, 0))


@in_loop
async def test_what_is_dropped_is_told_and_counted() -> None:
    async with rig() as it:
        it.model.dropped = (Dropped(0.5, 1.0, "repetition", "no no no"),)
        await it.pause(1)
        await it.say(1)
        await it.finish()
        (final,) = it.of(Final)
        assert final.as_json()["dropped"][0]["start"] == pytest.approx(0.5 + final.start)
        assert it.log.dropped == 1


@in_loop
async def test_phantoms_are_dropped_from_what_is_short() -> None:
    async with rig() as it:
        it.model.hears = lambda asked: " Thanks for watching!"
        await it.pause(1)
        await it.say(0.3)
        await it.finish()
        (final,) = it.of(Final)
        assert (final.transcript.text, final.transcript.dropped[0].reason) == ("", "phantom")


@in_loop
async def test_a_container_that_is_none_is_an_error() -> None:
    async with rig(LiveOptions(encoding="webm")) as it:
        await it.session.write(b"this is text and not a container at all, whatever is said of it")
        with pytest.raises(AudioDecodeError, match="text"):
            await it.session.end()


@in_loop
async def test_a_container_that_waits_can_be_closed() -> None:
    async with rig(LiveOptions(encoding="ogg")) as it:
        await it.session.write(b"OggS")
        await it.session.close()
