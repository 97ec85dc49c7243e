from __future__ import annotations

import math

import pytest

from whisper_serve.evaluation.scores import (
    ErrorRate,
    Repeat,
    accuracies,
    bleu,
    error_rate,
    repeats,
    superfluous,
    total,
    word_count,
)


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


def test_what_is_said_again_and_again_is_counted() -> None:
    found = repeats("Thank you for watching, thank you. Thank you for watching thank you!", "en")
    assert found == [Repeat("thank you for watching thank", 2), Repeat("you for watching thank you", 2)]
    assert superfluous(found) == 2
    assert repeats("one two three four five six seven eight nine ten", "en") == []
    assert repeats("la la la la la la la", "fr") == [Repeat("la la la la la", 3)]
    assert repeats("你好你好你好你好", "zh")[0] == Repeat("你 好 你 好 你", 2)


@pytest.mark.parametrize(
    ("text", "words"), [("", 0), (" . ", 0), ("Thanks for watching!", 3), ("ご視聴ありがとう", 8), ("ok 谢谢", 3)]
)
def test_invented_words_are_counted_in_any_language(text: str, words: int) -> None:
    assert word_count(text) == words


def test_bleu_is_sacrebleus() -> None:
    assert bleu(["All is well with us."], ["All is well with us."]) == pytest.approx(100)
    # Of 6, 5, 4 and 3 n-grams 5, 2, 1 and none are right, of which smoothing makes half a one; a word is missing.
    precisions = (5 / 6) * (2 / 5) * (1 / 4) * (0.5 / 3)
    expected = 100 * math.exp(1 - 7 / 6) * precisions**0.25
    assert bleu(["the cat is on the mat"], ["there is a cat on the mat"]) == pytest.approx(expected)
    assert bleu(["nothing", "of it"], ["Who invented this machine?", "Do you have a pen?"]) < 5
