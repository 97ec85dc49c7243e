"""Transcripts for the tests of what is made of them, and what openai-whisper makes of the same."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

import whisper.utils
from hypothesis import strategies as st

from whisper_serve.speech.transcript import Segment, Transcript, Word

WRITERS = {"srt": whisper.utils.WriteSRT, "vtt": whisper.utils.WriteVTT, "tsv": whisper.utils.WriteTSV}

times = st.one_of(st.integers(0, 40 * 3_600_000).map(lambda value: value / 1000), st.floats(0, 200_000))
# openai-whisper leaves arrows in subtitles made of words, which breaks the file: tested apart.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=">"), max_size=40).map(" {}".format)
words = st.builds(Word, texts | st.just(" " + "long" * 160), times, times, st.floats(0, 1))


def segments_with(word_lists: st.SearchStrategy[tuple[Word, ...]]) -> st.SearchStrategy[Segment]:
    return st.builds(
        Segment,
        id=st.integers(0, 9),
        seek=st.integers(0, 9),
        start=times,
        end=times,
        text=texts,
        tokens=st.just((1, 2)),
        temperature=st.just(0.0),
        avg_logprob=st.floats(-2, 0),
        compression_ratio=st.floats(0, 3),
        no_speech_prob=st.floats(0, 1),
        words=word_lists,
    )


without_words = st.lists(segments_with(st.just(())), max_size=4)
with_words = st.lists(segments_with(st.lists(words, max_size=6).map(tuple)), min_size=1, max_size=4)


def transcript(*segments: Segment, warnings: tuple[str, ...] = (), language: str = "en") -> Transcript:
    text = "".join(segment.text for segment in segments).strip()
    return Transcript("transcribe", language, 8.47, text, segments, warnings)


def segment(text: str, start: float = 0.0, end: float = 1.5, words: tuple[Word, ...] = ()) -> Segment:
    return Segment(0, 0, start, end, text, (50364, 1), 0.0, -0.3, 1.2, 0.02, words)


def written_by_whisper(response_format: str, value: Transcript, **options: Any) -> str:
    """What openai-whisper's own writer makes of the transcript, with words if there are any."""
    segments: list[dict[str, Any]] = [asdict(segment) for segment in value.segments]
    if not value.words:
        for item in segments:
            del item["words"]
    file = io.StringIO()
    WRITERS[response_format]("").write_result({"segments": segments}, file, options)
    return file.getvalue()
