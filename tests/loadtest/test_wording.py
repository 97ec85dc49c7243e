from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.answers import Answer, RequestError
from loadtest.wording import check, word_errors
from tests.loadtest.examples import CLIP


@pytest.mark.parametrize("text", ["One window, and another.", "one WINDOW and another", "One window and a door."])
def test_a_text_that_is_near_is_good(text: str) -> None:
    check(Answer(text, 1.0), CLIP)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", "empty text"), (" \n", "empty text"), ("Thanks for watching!", "wrong text"), ("…", "wrong text")],
)
def test_a_text_that_is_not_is_a_failure(text: str, kind: str) -> None:
    with pytest.raises(RequestError) as caught:
        check(Answer(text, 1.0), CLIP)
    assert caught.value.kind == kind


def test_the_bound_can_be_set() -> None:
    answer = Answer("One window and a door.", 1.0)
    with pytest.raises(RequestError):
        check(answer, CLIP, 0.4)
    check(answer, replace(CLIP, transcript=answer.text), 0.0)


def test_languages_without_spaces_are_compared_by_letters() -> None:
    assert word_errors("今日は良い", "今日は悪い", "ja") == pytest.approx(0.2)
    assert word_errors("...", "", "en") == 0.0
