"""Which words of a growing text will stay: those that two hypotheses in a row agree on.

LocalAgreement-2 of Macháček, Dabre and Bojar, "Turning Whisper into Real-Time Transcription System" (2023).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from whisper_serve.speech.languages import UNSPACED


@dataclass(slots=True)
class Agreement:
    """The hypotheses of one utterance, each of more of its audio than the one before."""

    _stable: list[str] = field(default_factory=list)
    _last: list[str] = field(default_factory=list)

    def push(self, text: str, language: str) -> tuple[str, str]:
        """The text so far and the part of it, from its beginning, that is stable.

        What was stable stays, whatever a later hypothesis says; case and punctuation do not count as a difference.
        """
        words = _words(text, language)
        agreed = _common(self._last, words)
        if agreed > len(self._stable) and _common(self._stable, words) == len(self._stable):
            self._stable = [*self._stable, *words[len(self._stable) : agreed]]
        self._last = words
        shown = [*self._stable, *words[len(self._stable) :]]
        return "".join(shown).strip(), "".join(self._stable).strip()


def _words(text: str, language: str) -> list[str]:
    """Words with the space before them; characters where words are not spaced."""
    return list(text.strip()) if language in UNSPACED else re.findall(r"\s*\S+", text)


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words from the beginning are the same."""
    for count, (one, other) in enumerate(zip(first, second, strict=False)):
        if _letters(one) != _letters(other):
            return count
    return min(len(first), len(second))


def _letters(word: str) -> str:
    return "".join(filter(str.isalnum, word)).casefold()
