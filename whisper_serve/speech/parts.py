"""Parts of segments: some of a segment's words, with the tokens and times that go with them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from whisper_serve.speech.transcript import Segment, TokenLogprob


def part(segment: Segment, words: Sequence[str], first: int, stop: int, times: tuple[float, float]) -> Segment:
    """The words `first` up to, not including, `stop` of a segment that consists of `words`, at `times`.

    The tokens are told apart by `token_logprobs`; without these, they are left out.
    """
    tokens, logprobs = _tokens(segment, "".join(words[:first]), "".join(words[:stop]))
    return replace(
        segment,
        start=times[0] if first else segment.start,
        end=times[1] if stop < len(words) else segment.end,
        text="".join(words[first:stop]),
        tokens=tokens,
        words=segment.words[first:stop],
        token_logprobs=logprobs,
    )


def _tokens(segment: Segment, before: str, upto: str) -> tuple[tuple[int, ...], tuple[TokenLogprob, ...]]:
    """The tokens whose text ends behind that of `before` and no later than `upto`."""
    texts = segment.token_logprobs
    ends = list(accumulate(len(each.bytes) for each in texts))
    first, stop = (bisect_right(ends, len(text.encode())) for text in (before, upto))
    # Of a segment's tokens, those that are not text are its times, which have the highest numbers.
    in_text = sorted(sorted(range(len(segment.tokens)), key=segment.tokens.__getitem__)[: len(texts)])
    if not in_text:
        return (), ()
    head = segment.tokens[: in_text[0]] if first == 0 else ()
    tail = segment.tokens[in_text[-1] + 1 :] if stop == len(texts) else ()
    inner = tuple(segment.tokens[place] for place in in_text[first:stop])
    return (*head, *inner, *tail), texts[first:stop]


def ending(segments: Iterable[Segment], end: float) -> tuple[Segment, ...]:
    """The segments, none of which goes on after `end`."""
    return tuple(
        replace(
            segment,
            start=min(segment.start, end),
            end=min(segment.end, end),
            words=tuple(replace(word, start=min(word.start, end), end=min(word.end, end)) for word in segment.words),
        )
        for segment in segments
    )


def beginning(segments: Iterable[Segment], start: float) -> tuple[Segment, ...]:
    """The segments, none of which begins before `start`."""
    return tuple(
        replace(
            segment,
            start=max(segment.start, start),
            end=max(segment.end, start),
            words=tuple(
                replace(word, start=max(word.start, start), end=max(word.end, start)) for word in segment.words
            ),
        )
        for segment in segments
    )
