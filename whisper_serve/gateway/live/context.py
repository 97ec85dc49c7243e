"""What an utterance needs to know of what was heard before: the language, what was just said, and what of itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Final

from whisper_serve.speech import Utterance, WindowTranscript
from whisper_serve.wire import MAX_DRAFT_TOKENS, MAX_PROMPT_CHARACTERS, WindowOptions

PROMPT_CHARACTERS: Final = 200
"""Of the text before: a sentence or two. More would keep a mistake alive."""
PROMPT_SECONDS: Final = 10.0
"""Longer ago, what was said before is another matter."""
SURE: Final = 0.8
"""A language found with this probability holds for the rest of the stream."""
UNSURE: Final = -0.4
"""A whole utterance whose text has a mean log-probability a token below this is searched for: a few words alone are
easily misheard where only one text is followed."""


class LiveContext:
    """Gives each utterance of a stream its options."""

    def __init__(self, options: WindowOptions, *, conditioned: bool) -> None:
        """``conditioned``: what was said before is part of the prompt."""
        self._options, self._conditioned = options, conditioned
        self._language = options.language
        self._text = ""
        self._end = 0.0
        self._number: int | None = None
        """Of the utterance that was heard last, and the tokens of its text."""
        self._draft: tuple[int, ...] = ()

    def options_for(self, utterance: Utterance, *, whole: bool) -> WindowOptions:
        """Of an utterance that is over, or of what has come of it: then any text will do, without words' times."""
        before = self._text if self._conditioned and utterance.start - self._end <= PROMPT_SECONDS else ""
        parts = [part for part in (self._options.prompt, before) if part]
        prompt = " ".join(parts)[-MAX_PROMPT_CHARACTERS:] if parts else None
        return replace(
            self._options,
            language=self._language,
            prompt=prompt,
            word_timestamps=whole and self._options.word_timestamps,
            search_threshold=UNSURE if whole else None,
            draft_tokens=self._draft or None if utterance.number == self._number else None,
        )

    def hear(self, utterance: Utterance, window: WindowTranscript) -> None:
        """An utterance was understood as far as it has come: that is the draft of what is understood of it next."""
        tokens = (token for segment in window.segments for token in segment.tokens)
        self._number, self._draft = utterance.number, tuple(islice(tokens, MAX_DRAFT_TOKENS))

    def learn(self, window: WindowTranscript, end: float) -> None:
        """An utterance was understood to its end; one without text tells nothing."""
        if not (text := window.text.strip()):
            return
        if self._language is None and (window.language_probability or 0.0) >= SURE:
            self._language = window.language
        self._text, self._end = _tail(f"{self._text} {text}"), end


def _tail(text: str) -> str:
    """The last words of a text."""
    if len(text) <= PROMPT_CHARACTERS:
        return text.strip()
    cut = text[-PROMPT_CHARACTERS:]
    return cut.partition(" ")[2].strip() or cut
