from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.speech.loudness import Loudness, scripted
from whisper_serve.speech import vad
from whisper_serve.speech.audio import SAMPLE_RATE, Audio, load_audio
from whisper_serve.speech.errors import VadUnavailable
from whisper_serve.speech.vad import (
    CONTEXT_SAMPLES,
    FRAME_SAMPLES,
    Probabilities,
    SileroVad,
    Span,
    VadOptions,
    model_path,
    rechunk,
    speech_spans,
)


def frames_of(audio: Audio) -> Audio:
    return audio[: len(audio) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)


def silero_step_by_step(frames: Audio) -> Probabilities:
    """Silero's own model, one frame a call with its state, as Silero's code runs it."""
    SileroVad()  # Imports onnxruntime as it is to be imported.
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(model_path().with_name("silero_vad.onnx"))
    state = np.zeros((2, 1, 128), np.float32)
    context = np.zeros((1, CONTEXT_SAMPLES), np.float32)
    rate, found = np.array(SAMPLE_RATE), []
    for frame in frames:
        seen = np.concatenate([context, frame[None]], axis=1)
        probability, state = session.run(None, {"input": seen, "state": state, "sr": rate})
        context = seen[:, -CONTEXT_SAMPLES:]
        found.append(float(probability[0, 0]))
    return np.array(found, np.float32)


@pytest.fixture(scope="module")
def silero_utils() -> ModuleType:
    """Silero's code for spans, loaded without the package around it, which would need torchaudio."""
    spec = importlib.util.spec_from_file_location("silero_utils", model_path().parents[1] / "utils_vad.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("sizes", [(1,), (64,), (312,), (7, 100, 1, 33), (10_000,)])
def test_probabilities_are_those_of_silero_whatever_the_chunks(data: Path, sizes: tuple[int, ...]) -> None:
    frames = frames_of(load_audio(data / "en-jfk.mp3"))
    model, at = SileroVad(), 0
    parts: list[Probabilities] = []
    while at < len(frames):
        size = sizes[len(parts) % len(sizes)]
        parts.append(model.probabilities(frames[at : at + size]))
        at += size
    np.testing.assert_allclose(np.concatenate(parts), silero_step_by_step(frames), rtol=0, atol=1e-6)


def test_streams_in_parallel_share_the_model_but_no_state(data: Path) -> None:
    clips = [frames_of(load_audio(path)) for path in sorted(data.glob("*-common-voice-*"))] * 3
    alone = [SileroVad().probabilities(frames) for frames in clips]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda frames: SileroVad().probabilities(frames), clips))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_frames_have_no_probabilities() -> None:
    assert SileroVad().probabilities(np.zeros((0, FRAME_SAMPLES), np.float32)).shape == (0,)


@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.2, 0.34, 0.36, 0.49, 0.51, 0.8, 1.0]), max_size=200),
    missing=st.integers(0, FRAME_SAMPLES - 1),
    min_speech=st.sampled_from([0, 32, 100, 250]),
    min_silence=st.sampled_from([0, 32, 100, 500]),
    threshold=st.sampled_from([0.1, 0.5, 0.75]),
)
def test_spans_are_those_of_silero(
    silero_utils: ModuleType,
    probabilities: list[float],
    missing: int,
    min_speech: int,
    min_silence: int,
    threshold: float,
) -> None:
    probabilities = [float(np.float32(value)) for value in probabilities]
    audio = scripted(probabilities)[: len(probabilities) * FRAME_SAMPLES - missing]
    expected = silero_utils.get_speech_timestamps_from_probs(
        probabilities,
        threshold=threshold,
        min_speech_duration_ms=min_speech,
        min_silence_duration_ms=min_silence,
        speech_pad_ms=0,
        audio_length_samples=len(audio),
    )
    options = VadOptions(threshold, min_speech_ms=min_speech, min_silence_ms=min_silence)
    spans = speech_spans([audio], options, new_model=Loudness)
    assert list(spans) == [Span(span["start"], span["end"]) for span in expected]


def test_span_is_known_as_soon_as_its_silence_is_long_enough() -> None:
    fed: list[int] = []

    def blocks() -> Iterator[Audio]:
        for index, probability in enumerate((0.9, 0.0, 0.9)):
            fed.append(index)
            yield scripted([probability] * 128)

    spans = speech_spans(blocks(), new_model=Loudness)
    assert next(spans) == Span(0, 128 * FRAME_SAMPLES)
    assert fed == [0, 1]
    assert list(spans) == [Span(256 * FRAME_SAMPLES, 384 * FRAME_SAMPLES)]


def test_speech_is_found_and_silence_and_noise_are_not(data: Path) -> None:
    speech = load_audio(data / "en-jfk.mp3")
    spans = list(speech_spans([speech]))
    assert sum(span.end - span.start for span in spans) > 0.6 * len(speech)
    noise = np.random.default_rng(0).normal(0, 0.05, 5 * SAMPLE_RATE).astype(np.float32)
    tone = np.sin(np.arange(5 * SAMPLE_RATE) * 2 * np.pi * 440 / SAMPLE_RATE).astype(np.float32) / 8
    for other in (np.zeros_like(noise), noise, tone):
        assert list(speech_spans([other.astype(np.float32)])) == []


def test_a_recording_may_begin_amid_speech(data: Path) -> None:
    speech = load_audio(data / "en-librispeech-1089-134686-0000.flac")[168 * FRAME_SAMPLES :] * np.float32(0.03)
    assert not (SileroVad().probabilities(frames_of(speech))[:25] > 0.5).any(), "Silero alone misses what is said first"
    assert next(speech_spans([speech])).start == 0


def test_quiet_speech_is_found(data: Path) -> None:
    speech = load_audio(data / "en-jfk.mp3")
    assert list(speech_spans([(speech / 100).astype(np.float32)]))


@given(sizes=st.lists(st.integers(0, 50)), size=st.integers(1, 20))
def test_rechunk_keeps_every_sample_in_order(sizes: list[int], size: int) -> None:
    values: npt.NDArray[np.float32] = np.arange(sum(sizes), dtype=np.float32)
    blocks = np.split(values, np.cumsum(sizes)[:-1]) if sizes else []
    parts = list(rechunk(blocks, size))
    assert all(len(part) == size for part in parts[:-1])
    assert all(0 < len(part) <= size for part in parts)
    np.testing.assert_array_equal(np.concatenate([values[:0], *parts]), values)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"min_silence_ms": -1}, "min_silence_ms"),
        ({"padding_ms": 5000}, "padding_ms"),
    ],
)
def test_wrong_options_are_named(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        VadOptions(**wrong)  # type: ignore[arg-type]


def test_missing_wheel_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VadUnavailable, match="pip install --no-deps silero-vad"):
        model_path()


def test_wheel_without_the_file_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad, "MODEL_FILE", Path("data", "other.onnx"))
    with pytest.raises(VadUnavailable, match=r"other\.onnx"):
        model_path()


def test_finding_speech_reports_to_nobody(tmp_path: Path) -> None:
    """onnxruntime's telemetry would leave its session's identifier in the temporary folder."""
    code = "import numpy, whisper_serve.speech as s; s.SileroVad().probabilities(numpy.zeros((1, 512), 'float32'))"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
