"""The handler with TorchServe's own context and metrics, on the tiny model; TorchServe itself is in tests/e2e."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import wave
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import whisper_handler
from ts.context import Context, RequestProcessor
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
from whisper_handler import WhisperHandler

from whisper_serve.engine import WindowResult
from whisper_serve.engine.results import DroppedSegment
from whisper_serve.engine.weights import Weights, save_weights
from whisper_serve.settings import SettingsError
from whisper_serve.speech import WindowTranscript
from whisper_serve.wire import HEAD, MAGIC, VERSION, ErrorReply, WindowOptions, pack_window, unpack_reply

ROOT = Path(__file__).parents[2]
FIXED = {"language": "en", "temperature": "0.1"}
WINDOW = pack_window(
    (0.1 * np.random.default_rng(3).standard_normal(40_000)).astype(np.float32),
    WindowOptions(language="en", temperature=0.1),
)


def context(folder: Path, handler: Mapping[str, Any] | None = None) -> Context:
    metrics = MetricsCacheYamlImpl(str(ROOT / "model_store" / "metrics.yaml"))
    metrics.initialize_cache()
    return Context("whisper", str(folder), None, 8, None, "0.12.0", True, metrics, {"handler": dict(handler or {})})


class Served:
    """A loaded handler, and what it answers to rows."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.context = context(folder, {"max_audio_seconds": 30, "device": "cpu", **settings})
        self.handler = WhisperHandler()
        self.handler.initialize(self.context)

    def __call__(self, *rows: Mapping[str, Any]) -> list[tuple[int, str, str | bytes]]:
        self.context.request_processor = [RequestProcessor({}) for _ in rows]
        bodies = self.handler.handle(list(rows), self.context)
        return [
            (self.context.get_response_status(n)[0], self.context.get_response_content_type(n), body)
            for n, body in enumerate(bodies)
        ]


@pytest.fixture(scope="module")
def served(tiny_weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("archive")
    save_weights(tiny_weights, folder / "model.safetensors")
    return Served(folder)


@pytest.fixture(scope="module")
def jfk(data: Path) -> bytes:
    return (data / "en-jfk.mp3").read_bytes()


def silence() -> bytes:
    """A second of it, as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    return buffer.getvalue()


def test_torchserve_finds_one_class() -> None:
    own = [
        value
        for value in vars(whisper_handler).values()
        if isinstance(value, type) and value.__module__ == whisper_handler.__name__
    ]
    assert own == [WhisperHandler]


def test_a_file_is_answered_the_same_however_it_comes(served: Served, jfk: bytes) -> None:
    fields = {name: value.encode() for name, value in FIXED.items()}
    rows = [{key: bytearray(jfk), **fields} for key in ("file", "data", "body")]
    answers = served(*rows, {"file": bytearray(jfk), **FIXED})
    assert len({(status, kind, body) for status, kind, body in answers}) == 1
    status, kind, body = answers[0]
    assert (status, kind) == (200, "application/json")
    assert json.loads(body).keys() == {"text", "usage"}


@pytest.mark.parametrize(
    ("response_format", "kind", "shape"),
    [
        ("text", "text/plain; charset=utf-8", r".*\n"),
        ("srt", "text/plain; charset=utf-8", r"1\n\d\d:\d\d:\d\d,\d{3} --> .*"),
        ("vtt", "text/plain; charset=utf-8", r"WEBVTT\n\n\d\d:\d\d\.\d{3} --> .*"),
        ("tsv", "text/tab-separated-values; charset=utf-8", r"start\tend\ttext\n\d+\t\d+\t.*"),
        ("verbose_json", "application/json", r'\{"task": "transcribe", "language": "english", .*"segments": \[\{.*'),
    ],
)
def test_every_format_is_answered(served: Served, jfk: bytes, response_format: str, kind: str, shape: str) -> None:
    [(status, content_type, body)] = served({"file": jfk, "response_format": response_format, **FIXED})
    assert (status, content_type) == (200, kind)
    assert isinstance(body, str)
    assert re.fullmatch(shape, body, re.DOTALL)


def test_a_window_is_answered_as_the_wire_says(served: Served) -> None:
    [(status, kind, body)] = served({"window": bytearray(WINDOW)})
    assert (status, kind) == (200, "application/json")
    assert isinstance(body, bytes)
    reply = unpack_reply(body)
    assert isinstance(reply, WindowTranscript)
    assert reply.text


def test_a_window_is_answered_with_what_it_asks_for(served: Served) -> None:
    audio = (0.1 * np.random.default_rng(3).standard_normal(40_000)).astype(np.float32)
    asked = [
        WindowOptions(detect_only=True),
        WindowOptions(language="en", temperature=0.1, logprobs=True),
        WindowOptions(language="en", temperature=0.1, word_timestamps=True),
        WindowOptions(language="en", temperature=0.1),
    ]
    answers = served(*({"window": bytearray(pack_window(audio, options))} for options in asked))
    bodies = [body for _, _, body in answers if isinstance(body, bytes)]
    language, logprobs, words, plain = (unpack_reply(body) for body in bodies)
    assert isinstance(language, WindowTranscript)
    assert (language.text, bool(language.language_probabilities)) == ("", True)
    assert isinstance(logprobs, WindowTranscript)
    assert all(segment.token_logprobs for segment in logprobs.segments)
    assert isinstance(words, WindowTranscript)
    assert all(segment.words for segment in words.segments)
    assert isinstance(plain, WindowTranscript)
    assert logprobs.text == words.text == plain.text
    assert not any(segment.words for segment in plain.segments)
    assert b"logprobs" not in bodies[3]
    assert b"language_probabilities" not in bodies[3]


def test_bad_rows_fail_alone(served: Served, jfk: bytes, data: Path) -> None:
    rows: list[tuple[dict[str, Any], int, str | None, str]] = [
        ({"file": jfk, **FIXED}, 200, None, ""),
        ({"file": b""}, 400, "file", "empty"),
        ({}, 400, "file", "empty"),
        ({"body": "just some text"}, 400, "file", ""),
        ({"body": {"url": "http://example.com"}}, 400, "file", "JSON"),
        ({"file": jfk, "language": b"klingon"}, 400, "language", "klingon"),
        ({"file": jfk, "language": b"\xff"}, 400, "language", "UTF-8"),
        ({"file": jfk, "response_format": "docx"}, 400, "response_format", "docx"),
        ({"file": (data / "en-librivox-sonnet-1.mp3").read_bytes()}, 413, "file", "30 seconds"),
        ({"window": WINDOW}, 200, None, ""),
        ({"window": WINDOW[: len(WINDOW) // 2]}, 400, None, "bytes behind its head"),
        ({"window": "text"}, 400, None, "bytes, but str"),
        ({"file": jfk, **FIXED}, 200, None, ""),
    ]
    answers = served(*(row for row, *_ in rows))
    for (row, status, param, words), (got, kind, body) in zip(rows, answers, strict=True):
        assert got == status, (row.keys(), body)
        if status == 200:
            continue
        assert kind == "application/json"
        error = json.loads(body)["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", param)
        assert words in error["message"]
    assert answers[0] == answers[-1]
    broken = unpack_reply(answers[10][2])  # type: ignore[arg-type]
    assert isinstance(broken, ErrorReply)
    assert broken.status == 400


def test_a_row_whose_answer_cannot_be_written_fails_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    header = json.dumps({"\ud800": 1}).encode()  # An option of this name is refused, and cannot be named in UTF-8.
    nameless = HEAD.pack(MAGIC, VERSION, 0, len(header), 0, zlib.crc32(header)) + header
    caplog.set_level("INFO")
    good, bad, mate = served({"window": WINDOW}, {"window": nameless}, {"window": WINDOW})
    assert (good[0], bad[0], mate[0]) == (200, 500, 200)
    reply = unpack_reply(bytes(bad[2]))  # type: ignore[arg-type]
    assert isinstance(reply, ErrorReply)
    assert (reply.status, reply.code) == (500, "internal_error")
    assert "an answer cannot be written: UnicodeEncodeError" in caplog.text
    assert "whisper_errors_total.Count:1|#kind:internal_error,ModelName:whisper" in caplog.text

    monkeypatch.setattr(whisper_handler, "render", lambda *_: "\ud800")
    broken, mate = served({"file": silence()}, {"window": WINDOW})
    assert (broken[0], mate[0]) == (500, 200)
    assert json.loads(broken[2])["error"]["code"] == "internal_error"


def test_silence_is_not_an_error(served: Served) -> None:
    [(status, _, body)] = served({"file": silence()})
    assert status == 200
    assert json.loads(body)["text"] == ""


def test_work_is_counted_for_prometheus(served: Served, jfk: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    served({"file": jfk, **FIXED}, {"file": b""}, {"window": WINDOW})
    lines = "\n".join(record.getMessage() for record in caplog.records if "[METRICS]whisper" in record.getMessage())
    assert "whisper_windows_total.Count:2|#ModelName:whisper" in lines
    assert "whisper_batches_total.Count:1|" in lines
    assert re.search(r"whisper_audio_seconds_total\.Seconds:1[23]\.\d+", lines)
    assert re.search(r"whisper_compute_seconds_total\.Seconds:\d", lines)
    assert re.search(r"whisper_tokens_total\.Count:[1-9]", lines)
    assert "whisper_errors_total.Count:1|#kind:audio_decode_error,ModelName:whisper" in lines
    assert re.search(r"whisper_largest_batch\.Count:[1-9]", lines)
    assert "Failed to update" not in caplog.text


def test_what_was_dropped_is_counted_by_reason(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    heard = WindowResult("en", None, (), (), 0, (DroppedSegment(0.0, 2.0, "silence", "Bye."),))
    monkeypatch.setattr(served.handler._transcriber._engine, "transcribe", lambda windows, *_: [heard])
    [(_, _, body)] = served({"window": WINDOW})
    assert b'"reason": "silence"' in bytes(body)  # type: ignore[arg-type]
    assert "whisper_dropped_segments_total.Count:1|#reason:silence,ModelName:whisper" in caplog.text
    assert "Failed to update" not in caplog.text


@pytest.mark.weights
@pytest.mark.parametrize(("search_threshold", "searches"), [(-0.3, 1), (-1.0, 0)])
def test_so_unsure_texts_are_searched_for(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, search_threshold: float, searches: int
) -> None:
    caplog.set_level("INFO")
    served = Served(tmp_path, weights="trial", search_threshold=search_threshold)
    [(status, _, _)] = served({"file": (data / "fr-common-voice-20046123.mp3").read_bytes(), "language": "fr"})
    assert status == 200
    assert f"whisper_searches_total.Count:{searches}|" in caplog.text
    assert "whisper_fallbacks_total.Count:0|" in caplog.text


def test_a_bad_setting_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="devise"):
        WhisperHandler().initialize(context(tmp_path, {"devise": "cpu"}))


def test_weights_that_are_missing_are_told_with_where_they_were_looked_for(tmp_path: Path) -> None:
    section = {"weights": "/models/gone.pt", "model_cache": "/models"}
    with pytest.raises(
        SettingsError, match=r"'/models/gone\.pt' cannot be loaded.*WHISPER_MODEL_CACHE, which is /models"
    ):
        WhisperHandler().initialize(context(tmp_path, section))


def test_weights_may_be_a_name(tmp_path: Path) -> None:
    handler = WhisperHandler()
    handler.initialize(context(tmp_path, {"weights": "random:tiny", "device": "cpu"}))


def test_a_broken_engine_ends_the_worker(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(served.handler._transcriber._engine, "transcribe", fail)
    with pytest.raises(SystemExit):
        served({"window": WINDOW})


def test_what_went_wrong_is_said_on_stderr(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise ArithmeticError("no such luck")

    monkeypatch.setattr(served.handler._transcriber._engine, "transcribe", fail)
    monkeypatch.setattr(logging.getLogger("whisper_serve").handlers[-1], "stream", sys.stderr)
    [(status, _, body)] = served({"window": WINDOW})
    assert status == 500
    assert b"no such luck" not in bytes(body)  # type: ignore[arg-type]
    assert (
        "ERROR whisper_serve.transcriber: transcription failed: ArithmeticError: no such luck"
        in capsys.readouterr().err
    )


def test_a_start_is_counted_once_and_the_batch_has_a_limit(
    tiny_weights: Weights, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_weights(tiny_weights, tmp_path / "model.safetensors")
    fresh = Served(tmp_path)
    with caplog.at_level(logging.INFO, "ts.metrics.caching_metric"):
        for _ in range(2):
            fresh({"window": bytearray(WINDOW)})
    counted = re.findall(r"\[METRICS\](\w+)\.\w+:(\S+?)\|", caplog.text)
    assert [value for name, value in counted if name == "whisper_worker_starts_total"] == ["1", "0"]
    limits = [value for name, value in counted if name == "whisper_batch_limit"]
    assert limits == [str(fresh.handler._engine.batch_size)] * 2
