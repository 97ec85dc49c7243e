"""Subtitles: a transcript as SRT and WebVTT, broken into cues and lines by openai-whisper's rules."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from whisper_serve.speech.render_options import RenderOptions
from whisper_serve.speech.transcript import Segment, Transcript, Word

#: Columns of a line and words of a cue where they are not given.
MAX_LINE_WIDTH = MAX_WORDS_PER_LINE = 1000
#: Seconds between the starts of two words of which the later one begins a cue.
LONG_PAUSE = 3.0


@dataclass(frozen=True, slots=True)
class _Cue:
    """What is shown from `start` to `end`, in seconds."""

    start: float
    end: float
    text: str

    def timing(self, *, decimal_marker: str, always_hours: bool) -> str:
        start, end = (
            timestamp(seconds, decimal_marker=decimal_marker, always_hours=always_hours)
            for seconds in (self.start, self.end)
        )
        return f"{start} --> {end}"


def srt(transcript: Transcript, options: RenderOptions) -> str:
    """The transcript as SubRip."""
    cues = enumerate(_cues(transcript, options), start=1)
    return "".join(
        f"{number}\n{cue.timing(decimal_marker=',', always_hours=True)}\n{cue.text}\n\n" for number, cue in cues
    )


def vtt(transcript: Transcript, options: RenderOptions) -> str:
    """The transcript as WebVTT."""
    cues = _cues(transcript, options)
    return "WEBVTT\n\n" + "".join(
        f"{cue.timing(decimal_marker='.', always_hours=False)}\n{cue.text}\n\n" for cue in cues
    )


def timestamp(seconds: float, *, decimal_marker: str, always_hours: bool) -> str:
    """`[hh:]mm:ss,mmm`, counted in whole milliseconds so that no two formats round differently."""
    minutes, milliseconds = divmod(_milliseconds(seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    prefix = f"{hours:02d}:" if always_hours or hours else ""
    return f"{prefix}{minutes:02d}:{milliseconds // 1000:02d}{decimal_marker}{milliseconds % 1000:03d}"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _cues(transcript: Transcript, options: RenderOptions) -> Iterator[_Cue]:
    """Cues of words where there are any, one a segment otherwise.

    An arrow in the text would read as another timing line, so it is shortened (openai-whisper shortens only those
    of two dashes, in transcripts without words).
    """
    segments = transcript.segments
    for cue in _cues_of_words(segments, options) if transcript.words else _cues_of_segments(segments):
        yield replace(cue, text=re.sub("-{2,}>", "->", cue.text))


def _cues_of_segments(segments: Sequence[Segment]) -> Iterator[_Cue]:
    for segment in segments:
        yield _Cue(segment.start, segment.end, segment.text.strip())


def _cues_of_words(segments: Sequence[Segment], options: RenderOptions) -> Iterator[_Cue]:
    for words in _grouped(segments, options):
        if options.highlight_words:
            yield from _highlighted(words)
        else:
            yield _Cue(words[0].start, words[-1].end, _text(words))


def _highlighted(words: Sequence[Word]) -> Iterator[_Cue]:
    """The cue once for each word, which is underlined, and once for each gap between two of them."""
    last = words[0].start
    for position, word in enumerate(words):
        if _milliseconds(last) != _milliseconds(word.start):
            yield _Cue(last, word.start, _text(words))
        underlined = re.sub(r"^(\s*)(.*)$", r"\1<u>\2</u>", word.word)
        yield _Cue(word.start, word.end, _text(words[:position]) + underlined + _text(words[position + 1 :]))
        last = word.end


def _text(words: Sequence[Word]) -> str:
    return "".join(word.word for word in words)


@dataclass(slots=True)
class _Draft:
    """The words of a cue to which more are added: a line starts without outer spaces, after a line break."""

    words: list[Word] = field(default_factory=list)
    lines: int = 1
    columns: int = 0
    """Of the last line."""

    def has_room(self, word: Word, width: int) -> bool:
        return 0 < self.columns <= width - len(word.word)

    def pauses_before(self, word: Word) -> bool:
        return word.start - self.words[-1].start > LONG_PAUSE

    def add(self, word: Word) -> None:
        self.words.append(word)
        self.columns += len(word.word)

    def add_line(self, word: Word) -> None:
        text = word.word.strip()
        if self.columns:
            self.lines += 1
            self.words.append(replace(word, word="\n" + text))
        else:
            self.words.append(replace(word, word=text))
        self.columns = len(text)


def _grouped(segments: Sequence[Segment], options: RenderOptions) -> Iterator[Sequence[Word]]:
    """The words of each cue.

    With a width and a number of lines the text flows: a cue ends where it is full, or before a pause. Otherwise
    it ends with its segment, or with the words that it may hold. Segments without words are skipped.
    """
    flows = options.max_line_width is not None and options.max_line_count is not None
    width, lines = options.max_line_width or MAX_LINE_WIDTH, options.max_line_count or math.inf
    most_words = options.max_words_per_line or MAX_WORDS_PER_LINE
    cue = _Draft()
    for segment in segments:
        for number, word in enumerate(segment.words):
            ends = bool(cue.words) and (cue.pauses_before(word) if flows else number % most_words == 0)
            if not ends and cue.has_room(word, width):
                cue.add(word)
                continue
            if ends or (cue.words and cue.lines >= lines):
                yield cue.words
                cue = _Draft()
            cue.add_line(word)
    yield cue.words
