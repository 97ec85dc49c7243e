"""Scores of transcripts against references, normalised as Whisper's authors do (Radford et al. 2022, appendix C)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import jiwer
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from whisper_serve.speech.languages import UNSPACED


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
    normalize = _normalizer(language)
    expected, found = normalize(reference).strip(), normalize(hypothesis).strip()
    if not expected:
        return ErrorRate(len(found.split()), 0)
    counts = jiwer.process_words(expected, found)
    errors = counts.substitutions + counts.deletions + counts.insertions
    return ErrorRate(errors, counts.hits + counts.substitutions + counts.deletions)


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
