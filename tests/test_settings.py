from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from whisper_serve.settings import HandlerSettings, SettingsError
from whisper_serve.wire import SEARCH_THRESHOLD


def test_defaults_stand_without_a_section() -> None:
    settings = HandlerSettings.read(None)
    assert (settings.device, settings.dtype, settings.max_audio_seconds) == ("auto", "auto", 3600.0)


def test_by_default_as_much_is_searched_for_as_requests_ask() -> None:
    assert HandlerSettings.read(None).search_threshold == SEARCH_THRESHOLD


def test_the_environment_goes_over_the_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_BATCH_WINDOWS", "8")
    settings = HandlerSettings.read({"batch_windows": 4, "threads": 2})
    assert (settings.batch_windows, settings.threads) == (8, 2)


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"devise": "cpu"}, "devise"),
        ({"device": "tpu"}, "device"),
        ({"dtype": "int3"}, "dtype"),
        ({"threads": "many"}, "threads"),
        ({"search_threshold": -0.2}, "search_threshold"),
        ({"batch_windows": -1, "max_audio_seconds": 0}, "batch_windows.*max_audio_seconds"),
    ],
)
def test_every_bad_setting_is_named(section: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        HandlerSettings.read(section)


def test_a_bad_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_THREADS", "two")
    with pytest.raises(SettingsError, match="threads"):
        HandlerSettings.read(None)


def test_model_config_documents_every_setting_with_its_default() -> None:
    config = yaml.safe_load((Path(__file__).parents[1] / "handler" / "model-config.yaml").read_text("utf-8"))
    defaults = {name: field.default for name, field in HandlerSettings.model_fields.items()}
    assert config["handler"] == defaults
