from __future__ import annotations

from dataclasses import replace

import pytest
import whisper

from whisper_serve.engine.weights import OFFICIAL_DIMENSIONS, Dimensions, IncompatibleWeights

BASE = OFFICIAL_DIMENSIONS["base"]


def test_every_model_of_openai_whisper_is_known() -> None:
    assert set(OFFICIAL_DIMENSIONS) == set(whisper.available_models())


def test_multilingual_follows_the_vocabulary() -> None:
    assert {name for name, value in OFFICIAL_DIMENSIONS.items() if not value.is_multilingual} == {
        name for name in OFFICIAL_DIMENSIONS if name.endswith(".en")
    }


def test_mapping_and_back() -> None:
    assert Dimensions.from_mapping(BASE.as_dict()) == BASE


def test_a_missing_and_an_unknown_name_are_named() -> None:
    values = BASE.as_dict()
    values["n_voices"] = values.pop("n_mels")
    with pytest.raises(IncompatibleWeights, match="lack n_mels"):
        Dimensions.from_mapping(values)
    with pytest.raises(IncompatibleWeights, match="unknown dimensions n_voices"):
        Dimensions.from_mapping({**BASE.as_dict(), "n_voices": 1})


@pytest.mark.parametrize("value", [0, -1, 1.5, "80", True, None])
def test_sizes_are_positive_integers(value: object) -> None:
    with pytest.raises(IncompatibleWeights, match="n_mels: expected a positive integer"):
        Dimensions.from_mapping({**BASE.as_dict(), "n_mels": value})


def test_widths_divide_into_heads_and_fit_each_other() -> None:
    with pytest.raises(IncompatibleWeights, match="n_audio_state 512 does not divide into n_audio_head 7"):
        replace(BASE, n_audio_head=7)
    with pytest.raises(IncompatibleWeights, match="found 512 and 1024"):
        replace(BASE, n_text_state=1024)
