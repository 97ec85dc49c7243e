"""What a caller may ask of a response format."""

from __future__ import annotations

from dataclasses import dataclass

GRANULARITIES = frozenset({"segment", "word"})


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What a format may be asked for.

    `granularities` are the lists that `verbose_json` contains; `logprobs` adds those of the tokens to `json`.
    The others are openai-whisper's for subtitles made of words, under its names: columns of a line, lines and
    words of a cue, and whether each word has a cue in which it is underlined. None leaves a number open.
    """

    granularities: frozenset[str] = frozenset({"segment"})
    logprobs: bool = False
    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None
    highlight_words: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(self.granularities - GRANULARITIES)
        if unknown:
            raise ValueError(f"timestamp granularities are 'segment' and 'word', not {unknown[0]!r}")
        for name in ("max_line_width", "max_line_count", "max_words_per_line"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} must be a positive whole number, not {value!r}")
