from __future__ import annotations

from whisper_serve.speech import Agreement


def test_what_two_hypotheses_agree_on_is_stable() -> None:
    agreement = Agreement()
    assert agreement.push(" And so my", "en") == ("And so my", "")
    assert agreement.push(" And so, my fellow", "en") == ("And so, my fellow", "And so, my")
    assert agreement.push(" And so, my yellow Americans", "en") == ("And so, my yellow Americans", "And so, my")


def test_what_is_stable_stays() -> None:
    agreement = Agreement()
    agreement.push(" one two three", "en")
    agreement.push(" one two three four", "en")
    assert agreement.push(" won too three four five", "en") == ("one two three four five", "one two three")
    assert agreement.push(" won too three four five", "en") == ("one two three four five", "one two three")
    assert agreement.push(" one two", "en") == ("one two three", "one two three")
    assert agreement.push(" one two three four", "en") == ("one two three four", "one two three")


def test_characters_count_where_words_are_not_spaced() -> None:
    agreement = Agreement()
    agreement.push("今日は天気", "ja")
    assert agreement.push("今日は天候がいい", "ja") == ("今日は天候がいい", "今日は天")
