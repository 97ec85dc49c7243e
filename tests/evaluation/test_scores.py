from __future__ import annotations

import pytest

from whisper_serve.evaluation.scores import ErrorRate, accuracies, error_rate, total


@pytest.mark.parametrize(
    ("reference", "hypothesis", "language", "errors", "length"),
    [
        ("Ask not, what your country can do", "ask not what your country can do!", "en", 0, 7),
        ("He was twenty-one, and I'm sure.", "He was 21 and I am sure", "en", 0, 7),
        ("the cat sat", "the hat sat down", "en", 2, 3),
        ("Zieht die Schuhe aus", "Sieht die Schuhe aus", "de", 1, 4),
        ("今日はいい天気", "今日はいい電気", "ja", 1, 7),
        ("hello there", "", "en", 2, 2),
        ("", "invented words", "en", 2, 0),
    ],
)
def test_errors_are_counted_after_normalisation(
    reference: str, hypothesis: str, language: str, errors: int, length: int
) -> None:
    assert error_rate(reference, hypothesis, language) == ErrorRate(errors, length)


def test_a_rate_over_several_is_all_errors_over_all_words() -> None:
    assert total([ErrorRate(1, 10), ErrorRate(3, 10)]).percent == 20.0
    assert total([]).percent == 0.0


def test_accuracy_tells_what_a_language_was_taken_for() -> None:
    found = accuracies([("nl", "nl"), ("nl", "de"), ("nl", "de"), ("en", "en")])
    assert (found["nl"].right, found["nl"].files, found["nl"].taken_for) == (1, 3, {"de": 2})
    assert (found["en"].right, found["en"].taken_for) == (1, {})
