"""What one window of a file needs to know of those before it: the language, and the text as prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from whisper_serve.gateway.changes import Changes
from whisper_serve.speech import Joiner, Window, WindowTranscript
from whisper_serve.wire import MAX_PROMPT_CHARACTERS, WindowOptions

PROMPT_WORDS: Final = 200
PROMPT_CHARACTERS: Final = 2_000
"""Of the text before: more than the 223 tokens of a prompt that the model reads, also without spaces."""


class Context:
    """Gives windows their options, each when it may be sent.

    A file is in one language: where none is asked for, the first window is sent alone, and what it is found to be holds
    for the rest. A window without text tells nothing, so then it is the next one's turn. With `language_per_window` no
    window has to know of another's.

    A window's prompt ends where the window starts, also where it starts before the end of the one before it.
    """

    def __init__(self, options: WindowOptions, *, sequential: bool, language_per_window: bool = False) -> None:
        self._options = options
        self._sequential = sequential
        self._one_language = not language_per_window
        self._language = options.language
        self._joiner = Joiner(words=False, logprobs=False)
        self._text = ""
        self._done = 0
        """Windows answered, of those that go one by one."""
        self._changes = Changes()

    async def options_for(self, window: Window) -> WindowOptions:
        """The options of a window, as soon as what they depend on is known."""
        await self._changes.until(lambda: self._may_go(window.index))
        options = replace(self._options, language=self._language, prompt=self._prompt())
        return options.to_be_joined() if window.overlaps else options

    def learn(self, window: Window, heard: WindowTranscript) -> None:
        """A window was answered."""
        self._done += 1
        if self._one_language and self._language is None and heard.text.strip():
            self._language = heard.language
        if self._sequential:
            final = self._joiner.add(window.start, window.end, window.overlap_after, heard)
            self._text = _tail(self._text + "".join(each.text for _, each in final))
        self._changes.tell()

    def _may_go(self, index: int) -> bool:
        one_by_one = self._sequential or (self._one_language and self._language is None)
        return not one_by_one or index <= self._done

    def _prompt(self) -> str | None:
        """The prompt that was asked for and the text before, as far as fits."""
        before = (self._text + self._joiner.certain).strip()
        parts = [part for part in (self._options.prompt, before) if part]
        return " ".join(parts)[-MAX_PROMPT_CHARACTERS:] if parts else None


def _tail(text: str) -> str:
    """The last words of a text."""
    words = text.rsplit(maxsplit=PROMPT_WORDS)
    return " ".join(words[-PROMPT_WORDS:])[-PROMPT_CHARACTERS:]
