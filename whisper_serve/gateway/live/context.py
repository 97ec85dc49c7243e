"""What an utterance needs to know of those before it: the language, and what was just said."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from whisper_serve.speech import WindowTranscript
from whisper_serve.wire import MAX_DRAFT_TOKENS, MAX_PROMPT_CHARACTERS, WindowOptions

PROMPT_CHARACTERS: Final = 200
"""Of the text before: a sentence or two. More would keep a mistake alive."""
PROMPT_SECONDS: Final = 10.0
"""Longer ago, what was said before is another matter."""
SURE: Final = 0.8
"""A language found with this probability holds for the rest of the stream."""


class LiveContext:
    """Gives each utterance of a stream its options."""

    def __init__(self, options: WindowOptions) -> None:
        self._options = options
        self._language = options.language
        self._text = ""
        self._end = 0.0

    def options_for(self, start: float, *, words: bool, draft: tuple[int, ...]) -> WindowOptions:
        """Of an utterance that starts so many seconds into the stream, of which a ``draft`` was heard so far."""
        before = self._text if start - self._end <= PROMPT_SECONDS else ""
        parts = [part for part in (self._options.prompt, before) if part]
        prompt = " ".join(parts)[-MAX_PROMPT_CHARACTERS:] if parts else None
        return replace(
            self._options,
            language=self._language,
            prompt=prompt,
            word_timestamps=words,
            draft_tokens=draft[:MAX_DRAFT_TOKENS] or None,
        )

    def learn(self, window: WindowTranscript, end: float) -> None:
        """An utterance was understood; one without text tells nothing."""
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
