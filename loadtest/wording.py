"""Whether a text is what was said: words are compared, without case and punctuation."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import jiwer

from loadtest.answers import EMPTY_TEXT, WRONG_TEXT, Answer, RequestError
from loadtest.clips import Clip
from whisper_serve.speech.languages import UNSPACED

MOST_WORD_ERRORS: Final = 0.5
"""Share of wrong words that makes a text a wrong one: far more than a model errs, far less than another clip's text."""
_WORD: Final = re.compile(r"[^\W_]+")


def check(answer: Answer, clip: Clip, most_word_errors: float = MOST_WORD_ERRORS) -> None:
    """Raise RequestError if the text is empty, or has more word errors than that share of the clip's transcript."""
    if not answer.text.strip():
        raise RequestError(EMPTY_TEXT, f"{clip.name}: the text is empty")
    errors = word_errors(clip.transcript, answer.text, clip.language)
    if errors > most_word_errors:
        raise RequestError(WRONG_TEXT, f"{clip.name}: {100 * errors:.0f} % word errors: {answer.text[:100]}")


def word_errors(reference: str, text: str, language: str) -> float:
    """Word errors as a share of the reference's words; of letters in languages without spaces.

    >>> word_errors("Otto gab nach.", "otto gab auf", "de")
    0.3333333333333333
    """
    expected, found = _words(reference, language), _words(text, language)
    if not expected:
        return 0.0 if not found else 1.0
    return float(jiwer.wer(" ".join(expected), " ".join(found)))


def _words(text: str, language: str) -> list[str]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return list("".join(words)) if language in UNSPACED else words
