from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.deterministic import serve
from whisper_serve.benchmark.errors import BadPlan
from whisper_serve.benchmark.live import COLUMNS, Row, Speech, markdown, measure, speeches
from whisper_serve.client.live import LiveSettings
from whisper_serve.evaluation.scores import ErrorRate


def test_speeches_are_long_enough_and_differ(data: Path) -> None:
    first, second = speeches(data, 2, 12)
    assert first.text != second.text
    assert min(first.seconds, second.seconds) >= 12


def test_a_corpus_without_english_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "manifest.tsv").write_text("path\tlanguage\ttranscript\na.wav\tde\tHallo\n")
    with pytest.raises(BadPlan, match="English"):
        speeches(tmp_path, 1, 1)


@pytest.mark.parametrize("transport", ["ws", "grpc"])
def test_streams_are_measured_at_the_pace_of_speech(data: Path, transport: str) -> None:
    (speech,) = speeches(data, 1, 2)
    speech = Speech(speech.pcm[: 2 * 16_000 * 2], "two seconds")
    with serve() as served:
        served.pipeline.model.hears = lambda asked: " two seconds"
        url = f"grpc://{served.grpc}" if transport == "grpc" else served.url.replace("http", "ws")
        settings = LiveSettings(language="en", beam_size=1)
        row = measure(url, [speech, speech], ["two seconds", "two minutes"], settings)
        assert {asked.options.beam_size for asked in served.pipeline.model.asked} == {1}
    assert (row.streams, row.transport) == (2, {"ws": "WebSocket", "grpc": "gRPC"}[transport])
    assert (row.errors.percent, row.file_errors.percent) == (0, 25)
    assert row.final is not None
    assert 0 <= row.final[0] <= row.final[1] < 1
    assert row.keeps_up


def test_the_table_tells_who_fell_behind() -> None:
    row = Row(8, "gRPC", None, (1.0, 2.5), ErrorRate(1, 50), ErrorRate(1, 100), 4.5, 0.0)
    table = markdown("base.", [row])
    assert "| 8 | gRPC | – | – | 1.00 | 2.50 | 2.0 | 1.0 | 4.50 | 0 | no |" in table
    assert table.count("|") > 3 * len(COLUMNS)
