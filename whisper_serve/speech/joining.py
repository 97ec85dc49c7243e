"""Joining windows that overlap: one text of what two windows heard of the same seconds.

Where speech without a pause is cut, both windows hold the seconds around the border (see `windows`). Near its
own end a window's text is least to be trusted: a word may be cut there, and there is nothing behind it to
understand it by. So the text changes over from one window to the next amid the overlap, at a word that both
have heard at the same time: up to it the one counts, after it the other.

That word is found by the longest common subsequence of the words in the overlap, normalised, in which a pair
counts the less the further its times are apart, so that of words that are said again and again the right ones
meet. Of the pairs the one nearest to the middle is taken, rather with pairs on both sides than on its own; but
where the windows differ between two pairs, further from the middle if that is the likelier text.
Where no word is common, the one window counts up to the middle and the other from where its last word ended.

Both windows are asked for the times of their words, whatever the caller wants: it costs one pass over the
tokens for a few windows of a file, and times of segments do not tell where in them a word lies. They are asked for
the tokens of their text too (`token_logprobs`), since only these tell which tokens go with a word. Whoever has no
such times is served as well: the words of a segment are then taken to be spread evenly over it.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

import numpy as np

from whisper_serve.speech.languages import UNSPACED
from whisper_serve.speech.parts import beginning, ending, part
from whisper_serve.speech.transcript import TIME_DECIMALS, Segment, WindowTranscript

#: Seconds by which the times of a word may differ in both windows: those that were told, and those guessed.
TOLD_TOLERANCE: Final = 0.5
GUESSED_TOLERANCE: Final = 2.0
#: Seconds nearer to the middle that a neighbouring pair on either side is worth.
NEIGHBOUR_WORTH: Final = 0.4
#: Seconds nearer to the middle that a text e times as likely is worth.
LIKELIHOOD_WORTH: Final = 10.0
#: A word is not held to be less likely than this.
LEAST_PROBABILITY: Final = 0.05

Placed = tuple[float, WindowTranscript]
"""A window's transcript with its start in the file, in seconds."""


class Joiner:
    """Takes the transcripts of a file's windows in order, and gives them back as soon as they are final.

    A window that the next one overlaps is held until that one is there. Words and log-probabilities that were asked
    for only to join are taken out.
    """

    def __init__(self, *, words: bool, logprobs: bool) -> None:
        """`words`, `logprobs`: whether the caller wants them."""
        self._words, self._logprobs = words, logprobs
        self._held: tuple[Placed, tuple[float, float]] | None = None

    def add(self, start: float, end: float, overlap_after: float, heard: WindowTranscript) -> list[Placed]:
        """The next window, from `start` to `end` of the file, and those that are final with it."""
        final = []
        if self._held is not None:
            (before_start, before), overlap = self._held
            before, heard = join(before, heard, starts=(before_start, start), overlap=overlap)
            final.append((before_start, before))
            self._held = None
        if overlap_after:
            self._held = (start, heard), (end - overlap_after, end)
        else:
            final.append((start, heard))
        return [(at, self._asked_for(window)) for at, window in final]

    def finish(self) -> list[Placed]:
        """What is still held, when no window follows."""
        held, self._held = self._held, None
        return [] if held is None else [(held[0][0], self._asked_for(held[0][1]))]

    @property
    def certain(self) -> str:
        """The text of the window that is held, up to the start of the next one."""
        if self._held is None:
            return ""
        (start, window), overlap = self._held
        words = _words(window, start)
        return "".join(word.text for word in words if word.middle < overlap[0])

    def _asked_for(self, window: WindowTranscript) -> WindowTranscript:
        return replace(window, segments=tuple(map(self._plain, window.segments)))

    def _plain(self, segment: Segment) -> Segment:
        words = segment.words if self._words else ()
        return replace(segment, words=words, token_logprobs=segment.token_logprobs if self._logprobs else ())


def join(
    before: WindowTranscript,
    after: WindowTranscript,
    *,
    starts: tuple[float, float],
    overlap: tuple[float, float],
) -> tuple[WindowTranscript, WindowTranscript]:
    """Two windows that overlap, each without what the other one tells.

    Args:
        starts: where the windows start in the file, in seconds.
        overlap: from where to where in the file both have heard.

    Returns:
        The windows, of which the later one begins no earlier than the other one ends. Of a segment that is cut the
        tokens are cut too where `token_logprobs` tell them, and left out otherwise.
    """
    first, second = _words(before, starts[0]), _words(after, starts[1])
    told = all(segment.words for window in (before, after) for segment in window.segments)
    keep, skip = _change_over(first, second, overlap, TOLD_TOLERANCE if told else GUESSED_TOLERANCE)
    earlier = _cut(before, first, 0, keep)
    later = _cut(after, second, skip, len(second))
    if earlier and later:
        border = _border(earlier[-1], later[0], starts)
        earlier = ending(earlier, border - starts[0])
        later = beginning(later, border - starts[1])
    return replace(before, segments=earlier), replace(after, segments=later)


@dataclass(frozen=True, slots=True)
class _Word:
    """A word with the space before it, the number of its segment, and when it was said.

    `told` are start and end in the window, `start` and `end` those in the file. Where nothing was told of it the
    probability is 1.
    """

    text: str
    segment: int
    told: tuple[float, float]
    start: float
    end: float
    probability: float

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2

    @property
    def letters(self) -> str:
        """What is compared: letters and digits alone, all small."""
        return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", self.text).casefold()))


def _words(window: WindowTranscript, start: float) -> list[_Word]:
    """All words of a window that starts at `start`."""
    words = []
    for number, segment in enumerate(window.segments):
        timed = [(word.word, word.start, word.end, word.probability) for word in segment.words]
        for text, begin, end, probability in timed or _spread(segment, window.language):
            words.append(_Word(text, number, (begin, end), start + begin, start + end, probability))
    return words


def _spread(segment: Segment, language: str) -> list[tuple[str, float, float, float]]:
    """The words of a segment without times, as long as they are written; letters where there are no spaces."""
    pieces: list[str] = []
    for letter in segment.text:
        whole = bool(pieces) and (letter.isspace() or language in UNSPACED) and bool(pieces[-1].strip())
        if whole or not pieces:
            pieces.append(letter)
        else:
            pieces[-1] += letter
    ends = [*accumulate(map(len, pieces), initial=0)]
    pace = (segment.end - segment.start) / max(ends[-1], 1)
    times = [segment.start + pace * end for end in ends]
    return [(piece, *span, 1.0) for piece, span in zip(pieces, pairwise(times), strict=True)]


def _change_over(
    before: Sequence[_Word], after: Sequence[_Word], overlap: tuple[float, float], tolerance: float
) -> tuple[int, int]:
    """How many words of the earlier window to keep, and of the later one to skip."""
    middle = sum(overlap) / 2
    first = next((i for i, word in enumerate(before) if word.middle > overlap[0]), len(before))
    stop = next((i for i, word in enumerate(after) if word.middle >= overlap[1]), len(after))
    pairs = _common(before[first:], after[:stop], tolerance)
    if pairs:
        met = set(pairs)
        likelier = dict(zip(pairs, _likelier(before[first:], after, pairs), strict=True))

        def cost(pair: tuple[int, int]) -> float:
            one, two = pair
            neighbours = ((one - 1, two - 1) in met) + ((one + 1, two + 1) in met)
            at = (before[first + one].middle + after[two].middle) / 2
            return abs(at - middle) - NEIGHBOUR_WORTH * neighbours - LIKELIHOOD_WORTH * likelier[pair]

        one, two = min(pairs, key=cost)
        return first + one + 1, two + 1
    if not after[:stop]:
        return len(before), 0
    change = max(middle, after[0].start)
    keep = next((i for i in range(first, len(before)) if before[i].middle >= change), len(before))
    end = before[keep - 1].end if keep > first else overlap[0]
    return keep, next((i for i, word in enumerate(after) if word.middle >= end), len(after))


def _common(before: Sequence[_Word], after: Sequence[_Word], tolerance: float) -> list[tuple[int, int]]:
    """The longest common subsequence: pairs of places. A pair whose times are `tolerance` apart counts nothing."""
    one, two = [word.letters for word in before], [word.letters for word in after]
    best = np.zeros((len(before) + 1, len(after) + 1))  # of what lies behind each pair of places
    worth = np.zeros((len(before), len(after)))
    for i in reversed(range(len(before))):
        for j in reversed(range(len(after))):
            if one[i] and one[i] == two[j]:
                worth[i, j] = max(0.0, 1 - abs(before[i].middle - after[j].middle) / tolerance)
            best[i, j] = max(best[i + 1, j], best[i, j + 1], best[i + 1, j + 1] + worth[i, j])
    pairs = []
    i = j = 0
    while i < len(before) and j < len(after):
        if worth[i, j] and best[i, j] == best[i + 1, j + 1] + worth[i, j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i, j] == best[i + 1, j]:
            i += 1
        else:
            j += 1
    return pairs


def _likelier(before: Sequence[_Word], after: Sequence[_Word], pairs: Sequence[tuple[int, int]]) -> Iterator[float]:
    """How much likelier the text up to each pair is as the earlier window has it than as the later one has it.

    The logarithm of the ratio. Where they differ, each is as likely as the least likely of its words, the pairs on both
    sides among them.
    """
    total = 0.0
    yield total
    for (one, two), (next_one, next_two) in pairwise(pairs):
        if (next_one, next_two) != (one + 1, two + 1):
            total += _likelihood(before[one : next_one + 1]) - _likelihood(after[two : next_two + 1])
        yield total


def _likelihood(words: Sequence[_Word]) -> float:
    return math.log(max(LEAST_PROBABILITY, min(word.probability for word in words)))


def _cut(window: WindowTranscript, words: Sequence[_Word], first: int, stop: int) -> tuple[Segment, ...]:
    """The segments of some of a window's words."""
    kept = []
    for number, segment in enumerate(window.segments):
        places = [i for i, word in enumerate(words) if word.segment == number]
        chosen = [i for i in places if first <= i < stop]
        if len(chosen) == len(places):
            kept.append(segment)
        elif chosen:
            times = words[chosen[0]].told[0], words[chosen[-1]].told[1]
            texts = [words[i].text for i in places]
            kept.append(part(segment, texts, chosen[0] - places[0], chosen[-1] + 1 - places[0], times))
    return tuple(kept)


def _border(before: Segment, after: Segment, starts: tuple[float, float]) -> float:
    """When in the file the one segment has ended and the other has not begun: where both times meet.

    Where they lie over each other, it is amid them, but not before the last word of the earlier one begins.
    """
    end, begin = starts[0] + before.end, starts[1] + after.start
    last = starts[0] + (before.words[-1].start if before.words else before.start)
    return round(end if end <= begin else max(last, (end + begin) / 2), TIME_DECIMALS)
