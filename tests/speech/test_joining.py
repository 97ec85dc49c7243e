"""Windows of made-up speech, heard with and without mistakes, and joined to one text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from whisper_serve.speech.joining import Joiner
from whisper_serve.speech.transcript import Segment, TokenLogprob, Transcript, WindowTranscript, Word, merge

BEGIN = 50_364
"""The token of the time 0.00, as in Whisper's vocabulary."""

Said = tuple[str, float, float]
"""A word, its start and its end in the file."""
Heard = tuple[float, float, float, WindowTranscript]
"""A window's start and end, how much it shares with the next one, and what was heard in it."""


def segment(words: Sequence[Said], start: float, *, timed: bool = True) -> Segment:
    """A segment that says these words, in a window from `start` on; each word is a token of its own."""
    spoken = tuple(Word(f" {text}", begin - start, end - start, 1.0) for text, begin, end in words)
    texts = [word.word for word in spoken]
    return Segment(
        id=0,
        seek=0,
        start=spoken[0].start,
        end=spoken[-1].end,
        text="".join(texts),
        tokens=(BEGIN, *(len(text.encode()) for text in texts), BEGIN + 100),
        temperature=0.0,
        avg_logprob=-0.1,
        compression_ratio=1.0,
        no_speech_prob=0.0,
        words=spoken if timed else (),
        token_logprobs=tuple(TokenLogprob(text, tuple(text.encode()), -0.1) for text in texts) if timed else (),
    )


def heard_in(words: Sequence[Said], start: float, *, segment_words: int = 4, timed: bool = True) -> WindowTranscript:
    groups = [words[at : at + segment_words] for at in range(0, len(words), segment_words)]
    return WindowTranscript("en", 1.0, tuple(segment(group, start, timed=timed) for group in groups))


def said(*texts: str, pace: float = 0.4) -> list[Said]:
    return [(text, number * pace, (number + 1) * pace) for number, text in enumerate(texts)]


def joined(windows: Sequence[Heard], *, words: bool = True, logprobs: bool = True) -> Transcript:
    joiner = Joiner(words=words, logprobs=logprobs)
    parts = [part for window in windows for part in joiner.add(*window)] + joiner.finish()
    assert [start for start, _ in parts] == [window[0] for window in windows]
    transcript = merge(parts, task="transcribe", duration=windows[-1][1])
    assert_sound(transcript)
    return transcript


def assert_sound(transcript: Transcript) -> None:
    """Times go forward, and the words and tokens of segments are those of their text."""
    segments = [(each.start, each.end) for each in transcript.segments]
    words = [(each.start, each.end) for each in transcript.words]
    for spans in (segments, words):
        assert all(start <= end for start, end in spans)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
    for each in transcript.segments:
        if each.words:
            assert "".join(word.word for word in each.words) == each.text
        if each.token_logprobs:
            assert "".join(token.token for token in each.token_logprobs) == each.text
            assert [t for t in each.tokens if t < BEGIN] == [len(token.bytes) for token in each.token_logprobs]


Vocabulary = st.sampled_from(["no", "well", "the", "cat", "and", "there", "Don't", "über"])
lengths = st.integers(10, 60).map(lambda hundredths: hundredths / 100)


@st.composite
def speech(draw: st.DrawFn) -> list[Said]:
    """Words of a small vocabulary, so that they are said again and again, with small gaps between them."""
    texts = draw(st.lists(Vocabulary, min_size=30, max_size=120))
    at, words = 0.0, []
    for text in texts:
        at += draw(st.sampled_from([0.0, 0.0, 0.02, 0.2]))
        length = draw(lengths)
        words.append((text, round(at, 2), round(at + length, 2)))
        at += length
    return words


@st.composite
def borders(draw: st.DrawFn, end: float) -> list[tuple[float, float, float]]:
    """Windows of some seconds that overlap: start, end, and what is shared with the next one."""
    start = 0.0
    windows: list[tuple[float, float, float]] = []
    while True:
        stop = round(start + draw(st.integers(80, 200)) / 10, 2)
        if stop >= end:
            return [*windows, (start, end, 0.0)]
        shared = draw(st.integers(20, 40)) / 10
        windows.append((start, stop, shared))
        start = round(stop - shared, 2)


def cut_into(words: Sequence[Said], start: float, end: float) -> list[Said]:
    """The words that lie wholly in a window."""
    return [word for word in words if start <= word[1] and word[2] <= end]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), words=speech(), segment_words=st.integers(1, 9))
def test_what_is_heard_rightly_is_joined_exactly(data: st.DataObject, words: list[Said], segment_words: int) -> None:
    windows = [
        (start, end, shared, heard_in(cut_into(words, start, end), start, segment_words=segment_words))
        for start, end, shared in data.draw(borders(words[-1][2]))
    ]
    transcript = joined(windows)
    assert transcript.text.split() == [text for text, *_ in words]
    assert [word.word.strip() for word in transcript.words] == [text for text, *_ in words]


def numbered(words: Sequence[Said]) -> list[Said]:
    """The same, in which every word is another one."""
    return [(f"{text}{number}", start, end) for number, (text, start, end) in enumerate(words)]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), words=speech().map(numbered))
def test_words_cut_at_the_edges_and_times_that_differ_do_no_harm(data: st.DataObject, words: list[Said]) -> None:
    cuts = data.draw(borders(words[-1][2]))
    windows = []
    for start, end, shared in cuts:
        inner = cut_into(words, start, end)
        # What lies within half a second of an edge that is cut is heard wrongly, or not at all.
        wrong = st.sampled_from([None, "hm", "the", "no"])
        noisy: list[Said] = []
        for text, begin, stop in inner:
            off = data.draw(st.integers(-8, 8)) / 100
            at_edge = (start > 0 and begin < start + 0.5) or (shared > 0 and stop > end - 0.5)
            heard = data.draw(wrong) if at_edge else text
            if heard is not None:
                last = noisy[-1][2] if noisy else start
                noisy.append((heard, max(last, begin + off), max(last, begin + off, stop + off)))
        assume(noisy)
        windows.append((start, end, shared, heard_in(noisy, start)))
    assert joined(windows).text.split() == [text for text, *_ in words]


TEXT = [f"w{number}" for number in range(100)]


def two_windows(hear: Callable[[Sequence[Said], float], WindowTranscript] = heard_in) -> list[Heard]:
    """The 40 s of `TEXT` in windows of 0 to 24 and of 21 to 40 s."""
    words = said(*TEXT)
    return [
        (0.0, 24.0, 3.0, hear(cut_into(words, 0, 24), 0.0)),
        (21.0, 40.0, 0.0, hear(cut_into(words, 21, 40), 21.0)),
    ]


def test_the_text_changes_over_amid_the_overlap() -> None:
    heard = joined(two_windows())
    assert heard.text.split() == TEXT
    first = [each for each in heard.segments if each.seek == 0]
    assert first[-1].end == pytest.approx(22.5, abs=0.4)


@pytest.mark.parametrize("mistaken", [0, 1])
@pytest.mark.parametrize("place", range(54, 59))
def test_where_the_windows_differ_the_likelier_text_counts(mistaken: int, place: int) -> None:
    def hear(words: Sequence[Said], start: float) -> WindowTranscript:
        wrong = {TEXT[place]: "hm"} if (start > 0) == mistaken else {}
        heard = heard_in([(wrong.get(text, text), begin, end) for text, begin, end in words], start)
        return replace(heard, segments=tuple(map(doubted, heard.segments)))

    def doubted(segment: Segment) -> Segment:
        words = (replace(word, probability=0.3) if word.word == " hm" else word for word in segment.words)
        return replace(segment, words=tuple(words))

    assert joined(two_windows(hear)).text.split() == TEXT


def test_segments_without_times_of_words_are_joined_too() -> None:
    def untimed(words: Sequence[Said], start: float) -> WindowTranscript:
        return heard_in(words, start, timed=False)

    heard = joined(two_windows(untimed))
    assert heard.text.split() == TEXT
    assert heard.words == ()


def test_letters_are_joined_where_there_are_no_spaces() -> None:
    letters = "きょうはいいてんきですねそれではさんぽにいきましょうかほんとうにいいですね"
    words = [(letter, 0.5 * n, 0.5 * (n + 1)) for n, letter in enumerate(letters)]

    def window(start: float, end: float) -> WindowTranscript:
        inner = cut_into(words, start, end)
        text = "".join(letter for letter, *_ in inner)
        one = replace(segment(inner, start, timed=False), text=text)
        return WindowTranscript("ja", 1.0, (one,))

    end = words[-1][2]
    assert joined([(0.0, 10.0, 3.0, window(0.0, 10.0)), (7.0, end, 0.0, window(7.0, end))]).text == letters


@pytest.mark.parametrize("missing", [0, 1])
def test_a_window_in_which_nothing_was_heard_takes_nothing_from_the_other(missing: int) -> None:
    windows = two_windows()
    start, end, shared, _ = windows[missing]
    windows[missing] = start, end, shared, WindowTranscript("en", 1.0, ())
    kept = windows[1 - missing][3].text.split()
    assert joined(windows).text.split() == kept


def test_where_no_word_is_common_each_counts_up_to_the_middle() -> None:
    words = said(*TEXT)
    other = [(text.upper() + "x", start, end) for text, start, end in words]
    windows = [
        (0.0, 24.0, 3.0, heard_in(cut_into(words, 0, 24), 0.0)),
        (21.0, 40.0, 0.0, heard_in(cut_into(other, 21, 40), 21.0)),
    ]
    numbers = [int(word.strip("wWx")) for word in joined(windows).text.split()]
    assert numbers == list(range(100))


def test_what_only_one_window_heard_of_the_overlap_is_kept() -> None:
    words = said(*TEXT)
    windows = [
        (0.0, 24.0, 3.0, heard_in(cut_into(words, 0, 21.7), 0.0)),
        (21.0, 40.0, 0.0, heard_in(cut_into(words, 22.3, 40), 21.0)),
    ]
    assert joined(windows).text.split() == [*TEXT[:54], *TEXT[56:]]


def test_what_was_not_asked_for_is_taken_out() -> None:
    plain = joined(two_windows(), words=False, logprobs=False)
    assert (plain.words, plain.token_logprobs) == ((), ())
    assert plain.text.split() == TEXT
    assert joined(two_windows(), logprobs=False).words
    assert joined(two_windows(), words=False).token_logprobs


def test_windows_that_do_not_overlap_stay_as_they_are() -> None:
    window = heard_in(said("one", "two"), 0.0)
    joiner = Joiner(words=True, logprobs=True)
    assert joiner.add(0.0, 10.0, 0.0, window) == [(0.0, window)]
    assert joiner.add(10.0, 20.0, 0.0, window) == [(10.0, window)]
    assert joiner.finish() == []


def test_a_window_is_held_until_the_next_one_is_there() -> None:
    first, second = two_windows()
    joiner = Joiner(words=True, logprobs=True)
    assert joiner.add(*first) == []
    assert joiner.certain.split() == TEXT[:52]  # up to 21 s
    assert [start for start, _ in joiner.add(*second)] == [0.0, 21.0]
    assert joiner.certain == ""


def test_the_last_window_is_given_back_where_none_follows() -> None:
    first, _ = two_windows()
    joiner = Joiner(words=True, logprobs=True)
    assert joiner.add(*first) == []
    assert joiner.finish() == [(0.0, first[3])]
