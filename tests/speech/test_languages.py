from __future__ import annotations

import pytest
import whisper.tokenizer

from whisper_serve.speech.languages import ALIASES, LANGUAGES, UNSPACED, language_code, language_name


def test_table_is_that_of_openai_whisper_in_its_order() -> None:
    assert list(LANGUAGES.items()) == list(whisper.tokenizer.LANGUAGES.items())
    names = {name: code for code, name in LANGUAGES.items()}
    assert names | ALIASES == whisper.tokenizer.TO_LANGUAGE_CODE


@pytest.mark.parametrize("code", LANGUAGES)
def test_code_and_name_give_the_code_in_any_case(code: str) -> None:
    for value in (code, code.upper(), LANGUAGES[code], LANGUAGES[code].title(), f" {code} "):
        assert language_code(value) == code
    assert language_name(code) == LANGUAGES[code]


@pytest.mark.parametrize(("alias", "code"), [("Castilian", "es"), ("mandarin", "zh"), ("FLEMISH", "nl")])
def test_aliases_give_the_code(alias: str, code: str) -> None:
    assert language_code(alias) == code


@pytest.mark.parametrize("value", ["", "xx", "klingon", "en-US"])
def test_unknown_language_is_named_in_the_error(value: str) -> None:
    with pytest.raises(ValueError, match="is not a language Whisper knows") as error:
        language_code(value)
    assert repr(value) in str(error.value)


def test_name_of_no_language() -> None:
    assert language_name("") == "unknown"


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # openai-whisper leaves its vocabulary file open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_unspaced_languages_are_those_the_tokenizer_splits_by_character() -> None:
    for code in LANGUAGES:
        tokenizer = whisper.tokenizer.get_tokenizer(True, num_languages=100, language=code)
        # A space makes the difference: kept with the next word, or a piece of its own like any other character.
        by_character = tokenizer.split_to_word_tokens(tokenizer.encode("ab cd"))[0] != ["ab", " cd"]
        assert by_character == (code in UNSPACED), code
