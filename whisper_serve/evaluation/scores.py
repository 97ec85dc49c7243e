"""Scores of transcripts against references, normalised as Whisper's authors do (Radford et al. 2022, appendix C)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import jiwer
from sacrebleu import BLEU
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from whisper_serve.speech.languages import UNSPACED, UNSPACED_LETTER

NGRAM: Final = 5
"""Words in a row that a text says again only if it loops, or if that is what was said."""


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Errors (substitutions, deletions, insertions) against reference words, or characters where there are no words."""

    errors: int
    length: int

    @property
    def percent(self) -> float:
        return 100.0 * self.errors / self.length if self.length else 0.0

    def __add__(self, other: ErrorRate) -> ErrorRate:
        return ErrorRate(self.errors + other.errors, self.length + other.length)


def error_rate(reference: str, hypothesis: str, language: str) -> ErrorRate:
    """Word error rate of one transcript after normalisation; character error rate for unspaced languages."""
    expected, found = normalized(reference, language), normalized(hypothesis, language)
    if not expected:
        return ErrorRate(len(found.split()), 0)
    counts = jiwer.process_words(expected, found)
    errors = counts.substitutions + counts.deletions + counts.insertions
    return ErrorRate(errors, counts.hits + counts.substitutions + counts.deletions)


def normalized(text: str, language: str) -> str:
    """Words with single spaces between; of unspaced languages the letters are the words."""
    return " ".join(_normalizer(language)(text).split())


@cache
def _normalizer(language: str) -> Callable[[str], str]:
    normalizer: Callable[[str], str] = BasicTextNormalizer(split_letters=language in UNSPACED)
    if language == "en":
        normalizer = EnglishTextNormalizer()
    return normalizer


def total(rates: Iterable[ErrorRate]) -> ErrorRate:
    """The rate over several transcripts: all errors over all words."""
    return sum(rates, ErrorRate(0, 0))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many of a language's files were found to be in it, and what the others were taken for."""

    right: int
    files: int
    taken_for: Mapping[str, int]


def accuracies(pairs: Iterable[tuple[str, str]]) -> dict[str, Accuracy]:
    """Language-identification accuracy by language, of (spoken, detected) pairs."""
    detected: dict[str, Counter[str]] = {}
    for spoken, found in pairs:
        detected.setdefault(spoken, Counter())[found] += 1
    return {
        spoken: Accuracy(counts[spoken], counts.total(), {code: n for code, n in counts.items() if code != spoken})
        for spoken, counts in sorted(detected.items())
    }


@dataclass(frozen=True, slots=True)
class Repeat:
    """Words in a row that a transcript says more than once."""

    words: str
    times: int


def repeats(text: str, language: str) -> list[Repeat]:
    """The 5-grams that a transcript repeats, after normalisation, those that come most often first."""
    words = normalized(text, language).split()
    counts = Counter(" ".join(words[first : first + NGRAM]) for first in range(len(words) - NGRAM + 1))
    return [Repeat(gram, times) for gram, times in counts.most_common() if times > 1]


def superfluous(found: Iterable[Repeat]) -> int:
    """How many 5-grams were said before already."""
    return sum(repeat.times - 1 for repeat in found)


def word_count(text: str) -> int:
    """Words of a text in whatever language; where words are not spaced, letters."""
    return len(UNSPACED_LETTER.sub(r" \g<0> ", normalized(text, "")).split())


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of translations to English with sacrebleu's defaults (Post 2018), 0 to 100."""
    return float(BLEU().corpus_score(list(translations), [list(references)]).score)
